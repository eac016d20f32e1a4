"""Which file systems open a file without asking anybody: those that live on a disk of this machine, or in its memory.

Called by `folders.py`, once per folder. NFS, SMB, 9p and FUSE ask a server or a program whenever a file is opened, also
when they know its name, and wait for as long as it takes; whoever must not wait keeps away from them. So do they from
what is not listed here. An overlay is listed as the disk of every container; nobody puts its layers on a network.
"""

_LOCAL = frozenset(
    (
        *(b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"bcachefs", b"f2fs", b"zfs"),
        *(b"tmpfs", b"ramfs", b"rootfs", b"overlay", b"squashfs", b"erofs"),
    )
)


def is_local(fd: int) -> bool:
    """Whether files beside the one that `fd` is open on can be opened without waiting for more than a disk.

    False also where nobody can tell: without /proc, and so on every system but Linux.
    """
    try:
        with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
            mount = _mount_of(file.read())
        with open("/proc/self/mountinfo", "rb") as file:
            return _type_of(mount, file.read()) in _LOCAL
    except OSError:
        return False


def _mount_of(fdinfo: bytes) -> bytes:
    """The number of the mount that a descriptor is on; by the number of its device btrfs could not be recognised."""
    for line in fdinfo.splitlines():
        if line.startswith(b"mnt_id:"):
            return line[7:].strip()
    return b""


def _type_of(mount: bytes, mountinfo: bytes) -> bytes:
    """The type of the file system that is mounted there; proc_pid_mountinfo(5)."""
    for line in mountinfo.splitlines():
        if line.split(b" ", 1)[0] == mount:
            return line.partition(b" - ")[2].split(b" ", 1)[0]
    return b""
