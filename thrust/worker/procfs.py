"""What Linux's /proc tells about the worker: where it listens, what it is doing, which signals it handles.

Called by `worker/system`, and by `terminal`. Where there is no /proc the answers are empty, and nothing is concluded
from them. All is read in one go and without awaiting: it happens once or twice in the life of a worker, at a time when
no request can be answered anyway.
"""

import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass

CAN_LOOK = sys.platform == "linux"

_TCP_LISTEN = "0A"
_UNIX_ACCEPTS = 1 << 16  # __SO_ACCEPTCON in the flags column of /proc/net/unix
_IPV4_MAPPED = bytes(10) + b"\xff\xff"
_STOPPED = "T"
_DEAD = "ZX"


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket: a TCP address and port, or (port 0) the path of a Unix socket."""

    address: str
    port: int = 0

    def __str__(self) -> str:
        if not self.port:
            return f"the Unix socket {self.address}"
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What /proc tells about a worker: its listeners, the commands that own them, and whether it does anything."""

    listeners: tuple[Listener, ...] = ()
    owners: tuple[tuple[str, ...], ...] = ()
    cpu_s: float = 0.0
    is_stopped: bool = False


def take_snapshot(leader_pid: int) -> Snapshot:
    """What the worker and its descendants listen on; an empty Snapshot where /proc cannot tell."""
    if not CAN_LOOK:
        return Snapshot()
    processes = dict(_read_processes())
    family = _family(leader_pid, processes)
    listening = _listening_sockets()
    owned = {inode: pid for pid in family for inode in _socket_inodes(pid) if inode in listening}
    return Snapshot(
        listeners=tuple(sorted({listening[inode] for inode in owned}, key=str)),
        owners=tuple(_command_of(pid) for pid in sorted(set(owned.values()))),
        cpu_s=sum(processes[pid].cpu_s for pid in family),
        is_stopped=leader_pid in processes and processes[leader_pid].state == _STOPPED,
    )


def group_lives(group: int) -> bool:
    """Whether a process of `group` is more than a zombie, which may wait long for a careless PID 1."""
    return any(entry.group == group and entry.state not in _DEAD for _, entry in _read_processes())


def tcp_listeners(port: int) -> list[Listener]:
    """Everyone's listeners on `port`; cheap, because no process is looked at."""
    if not CAN_LOOK:
        return []
    return [listener for listener in _listening_sockets().values() if listener.port == port]


def catches_signal(pid: int, sig: int) -> bool:
    """Whether the process has a handler of its own for `sig`; False if that cannot be seen."""
    caught = _read(f"/proc/{pid}/status").partition("SigCgt:")[2].split(maxsplit=1)[:1]
    return bool(caught) and bool(int(caught[0], 16) >> (sig - 1) & 1)


def describe_holder(port: int) -> str:
    """`python (pid 17)` for the process that listens on `port`, empty if that cannot be seen."""
    if not CAN_LOOK:
        return ""
    inodes = {inode for inode, listener in _listening_sockets().items() if listener.port == port}
    for pid, _ in _read_processes() if inodes else ():
        if not inodes.isdisjoint(_socket_inodes(pid)):
            return f"{os.path.basename(next(iter(_command_of(pid)), 'a process'))} (pid {pid})"
    return ""


@dataclass(frozen=True, slots=True)
class _ProcessEntry:
    parent_pid: int
    group: int
    state: str
    cpu_s: float


def _read_processes() -> Iterator[tuple[int, _ProcessEntry]]:
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        # "pid (name) state ppid pgrp … utime stime …", and the name may itself hold spaces and parentheses
        fields = _read(f"/proc/{name}/stat").rpartition(")")[2].split()
        if fields:
            cpu_s = (int(fields[11]) + int(fields[12])) / ticks_per_s
            yield int(name), _ProcessEntry(int(fields[1]), int(fields[2]), fields[0], cpu_s)


def _family(leader_pid: int, processes: dict[int, _ProcessEntry]) -> set[int]:
    """Everyone in the leader's process group, and everyone who descends from one of them."""
    family = {pid for pid, process in processes.items() if process.group == leader_pid}
    newcomers = family
    while newcomers:
        newcomers = {pid for pid, process in processes.items() if process.parent_pid in newcomers} - family
        family |= newcomers
    return family


def _listening_sockets() -> dict[int, Listener]:
    """By inode: every listening TCP and Unix socket of this network namespace."""
    found: dict[int, Listener] = {}
    for table in ("tcp", "tcp6"):
        for line in _read(f"/proc/net/{table}").splitlines()[1:]:
            fields = line.split()
            if fields[3] == _TCP_LISTEN:
                address, _, port = fields[1].partition(":")
                found[int(fields[9])] = Listener(_decode_address(address), int(port, 16))
    for line in _read("/proc/net/unix").splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if int(fields[3], 16) & _UNIX_ACCEPTS and len(fields) > 7:
            found[int(fields[6])] = Listener(fields[7])
    return found


def _decode_address(text: str) -> str:
    """`0100007F` as 127.0.0.1: 32-bit words, each in the machine's own byte order."""
    words = (int(text[start : start + 8], 16) for start in range(0, len(text), 8))
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    if packed.startswith(_IPV4_MAPPED):
        packed = packed[len(_IPV4_MAPPED) :]
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _socket_inodes(pid: int) -> Iterator[int]:
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            target = _read_link(f"/proc/{pid}/fd/{descriptor}")
            if target.startswith("socket:["):
                yield int(target[8:-1])
    except OSError:  # it is gone, or not ours to look at
        return


def _command_of(pid: int) -> tuple[str, ...]:
    return tuple(_read(f"/proc/{pid}/cmdline").split("\0")[:-1])


def _read(path: str) -> str:
    """The file's text; empty if it has gone or may not be read."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
