"""Content codings: br, zstd and gzip, made and undone (RFC 9110 §8.4). Start with `codings.py`."""
