"""Markdown tables, and the figures in them."""

import math
import statistics
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table: the first column to the left, figures to the right."""
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(values: Sequence[float], digits: int) -> str:
    """The median and, in parentheses, minimum and maximum."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"**{middle:.{digits}f}** ({low:.{digits}f}–{high:.{digits}f})"


def ratio(value: float, baseline: float) -> str:
    """How many times the baseline `value` is; a dash without a baseline."""
    if math.isnan(baseline):
        return "–"
    return f"{value / baseline:.2f}" if value > baseline / 10 else f"{value / baseline:.4f}"
