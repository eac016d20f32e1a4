"""The shared cache (RFC 9111): what may be stored and reused, and which names promise never to change."""
