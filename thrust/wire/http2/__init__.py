"""HTTP/2 on the wire (RFC 9113, HPACK: RFC 7541): bytes ↔ messages without I/O.

`engine` is the seam: it hides the h2 library, and the server knows nothing but it and `events`. `frames` cuts and makes
frames, `field_blocks` decodes and encodes header sections, `requests` understands them, `floods` says when a client has
asked for too much that means nothing.
"""
