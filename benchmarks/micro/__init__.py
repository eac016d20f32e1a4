"""Micro benchmarks: what one call of a function costs. Start with `run.py`."""
