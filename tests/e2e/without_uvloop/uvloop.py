"""Stands in for a platform that has no uvloop: first on PYTHONPATH, it makes thrust use the stock event loop."""

raise ImportError("uvloop is hidden by tests/e2e/without_uvloop")
