"""Stats of files that need not exist, and a time at which they are looked at."""

import os

NOW_S = 1_800_000_000.0
LONG_AGO_NS = 1_700_000_000_123_456_789


def stat_of(size: int = 5, mtime_ns: int = LONG_AGO_NS, ctime_ns: int = LONG_AGO_NS) -> os.stat_result:
    """The stat of a regular file of so many bytes, last changed a year before NOW_S."""
    fields = (0o100644, 1, 1, 1, 0, 0, size, 0, mtime_ns // 10**9, ctime_ns // 10**9)
    times = {"st_mtime": mtime_ns / 1e9, "st_ctime": ctime_ns / 1e9, "st_mtime_ns": mtime_ns, "st_ctime_ns": ctime_ns}
    return os.stat_result(fields, times)
