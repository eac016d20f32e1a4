"""The system call itself, and that its absence goes unnoticed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from thrust.files.openat2 import load

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="openat2 is Linux's")

# A filter as container runtimes install one: openat2 (437) fails with the errno in argv[1], everything else works.
FORBIDDEN = """
import ctypes, os, struct, sys
from thrust.files.confined import Roots
from thrust.files.openat2 import load
roots_before = Roots([sys.argv[2]]) if sys.argv[3] == "later" else None
program = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in [
        (0x20, 0, 0, 0),  # load the number of the call
        (0x15, 0, 1, 437),  # skip the next unless it is openat2
        (0x06, 0, 0, 0x00050000 | int(sys.argv[1])),  # fail
        (0x06, 0, 0, 0x7FFF0000),  # allow
    ]
)
buffer = ctypes.create_string_buffer(program)
filters = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filters, 0, 0):
    sys.exit(9)
roots = roots_before or Roots([sys.argv[2]])
opened = roots.open(b"folder/file")
print(load() is None, os.pread(opened.fd, 100, 0).decode())
"""


def needs_openat2() -> None:
    if load() is None:
        pytest.skip("there is no openat2 here")


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("when", ["before", "later"])
def test_where_it_is_forbidden_files_are_walked_to(tmp_path: Path, code: int, when: str) -> None:
    needs_openat2()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("inside")
    command = [sys.executable, "-c", FORBIDDEN, str(code), str(tmp_path), when]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if result.returncode == 9:
        pytest.skip("filters are not allowed")
    assert result.stdout == f"{when == 'before'} inside\n", result.stderr


def test_it_does_not_leave_the_folder(tmp_path: Path) -> None:
    """As documented in openat2(2): what `confined.py` leaves to it."""
    needs_openat2()
    open_beneath = load()
    assert open_beneath is not None
    (tmp_path / "root").mkdir()
    (tmp_path / "file").write_text("outside")
    (tmp_path / "root" / "link").symlink_to("../file")
    (tmp_path / "root" / "absolute").symlink_to(tmp_path / "root")
    folder = os.open(tmp_path / "root", os.O_PATH)
    try:
        for path in (b"../file", b"link", b"absolute", os.fsencode(tmp_path / "file")):
            with pytest.raises(OSError, match="cross-device"):
                open_beneath(folder, path)
    finally:
        os.close(folder)
