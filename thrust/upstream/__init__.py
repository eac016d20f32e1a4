"""Sockets towards the worker: a pool of keep-alive connections, each carrying one exchange at a time."""
