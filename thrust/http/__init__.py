"""The vocabulary that the rest of the program shares (RFC 9110): no sockets, no event loop, no imports of ours."""
