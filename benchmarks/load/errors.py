"""What ends a benchmark run early."""


class BenchmarkError(Exception):
    """A measurement that cannot be made or must not be believed; the text says what was seen."""
