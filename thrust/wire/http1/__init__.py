"""HTTP/1.1 framing (RFC 9112) for both directions: towards the client and towards the worker.

`heads` cuts a head out of a stream of bytes, `requests` and `responses` understand it, `bodies` reads the content that
follows, `writing` makes heads and chunks. Every head is read twice, by a grammar of ours that admits nothing that two
parsers could read differently, and by httptools (llhttp); a message passes only if both accept it.
"""
