"""What /proc says about a process tree: its members, CPU time and memory (proc(5))."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of several processes together."""

    rss_bytes: int
    """Pages shared between the processes count once for each."""
    pss_bytes: int
    """Shared pages are divided by the number of processes on the machine that map them."""


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants; empty if it is gone."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except (FileNotFoundError, ProcessLookupError):
        return []
    children = [int(child) for line in lists for child in line.split()]
    return [pid, *(member for child in children for member in tree(child))]


def on_core(pids: list[int], core: int) -> list[int]:
    """Those of `pids` that may run on `core` only."""
    return [pid for pid in pids if os.sched_getaffinity(pid) == {core}]


def cpu_s(pids: list[int]) -> float:
    """User and system seconds of `pids`, with those of the children that they have already reaped."""
    return sum(_cpu_ticks(pid) for pid in pids) / TICKS_PER_S


def busy_s(cores: Iterable[int]) -> float:
    """Seconds since boot in which `cores` worked for anyone, or for another guest of the host (steal)."""
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    times = {line[0]: [int(ticks) for ticks in line[1:9]] for line in lines if line[0].startswith("cpu")}
    busy_ticks = 0
    for core in cores:
        user, nice, system, _idle, _iowait, irq, softirq, steal = times[f"cpu{core}"]
        busy_ticks += user + nice + system + irq + softirq + steal
    return busy_ticks / TICKS_PER_S


def _cpu_ticks(pid: int) -> int:
    # The second field is the program's name in parentheses and may hold anything: count from the last `)`.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    utime, stime, cutime, cstime = fields[11:15]
    return int(utime) + int(stime) + int(cutime) + int(cstime)


def memory(pids: list[int]) -> Memory:
    """Resident memory of `pids` now."""
    sums = [_kb_fields(Path(f"/proc/{pid}/smaps_rollup")) for pid in pids]
    return Memory(
        rss_bytes=1024 * sum(fields["Rss"] for fields in sums),
        pss_bytes=1024 * sum(fields["Pss"] for fields in sums),
    )


def reset_peak_rss(pids: list[int]) -> None:
    """Sets each process's peak of resident memory to what it uses now."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_rss_bytes(pids: list[int]) -> int:
    """Sum of the peaks of resident memory since the last reset; the kernel keeps them, so none is missed."""
    return 1024 * sum(_kb_fields(Path(f"/proc/{pid}/status"))["VmHWM"] for pid in pids)


def _kb_fields(path: Path) -> dict[str, int]:
    """The `Name:  123 kB` lines of a file."""
    lines = [line.split() for line in path.read_text().splitlines() if line.endswith(" kB")]
    return {words[0].rstrip(":"): int(words[1]) for words in lines}
