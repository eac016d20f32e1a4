"""Certificates: read, checked, watched, and chosen for a client by its ClientHello. No sockets."""
