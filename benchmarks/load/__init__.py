"""Load benchmarks: real processes, one front at a time, each on a core of its own. Start with `__main__.py`."""
