"""The child side: the worker process from its start to its last sign of life. Imports nothing of ours but errors.

`supervisor` decides, `workforce` and `system` do; read `supervisor` first.
"""
