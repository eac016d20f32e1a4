"""Folders with files, links and stranger things in them, and what tests ask about descriptors."""

import gc
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thrust.files.confined import AnyPath, Roots

DESCRIPTORS = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"

LINKS = {
    # Relative links that stay inside.
    "to-file": "report.pdf",
    "to-folder": "folder",
    "to-folder-slash": "folder/",
    "folder/up": "../report.pdf",
    "folder/far": "deep/../../to-folder/./deep//leaf",
    "folder/deep/deeper/beside": "../leaf",
    "dot-and-slashes": ".//./folder//inner.txt",
    "to-file-slash": "report.pdf/",
    "to-link": "to-folder/up",
    # Absolute ones.
    "absolute": "{root}/report.pdf",
    "absolute-folder": "{root}/folder",
    "absolute-by-alias": "{alias}/folder/inner.txt",
    "absolute-dots": "{root}/folder/../report.pdf",
    "to-second-root": "{second}/other.txt",
    # Out.
    "out": "../outside/secret",
    "out-folder": "../outside",
    "out-absolute": "{outside}/secret",
    "out-chain": "to-out",
    "to-out": "folder/out-again",
    "folder/out-again": "../../outside/secret",
    "out-by-absolute-dots": "{root}/../outside/secret",
    "out-and-back": "../root/report.pdf",
    "out-and-back-absolute": "{outside}/back",
    "out-by-prefix": "{root}-2/secret",
    "out-to-top": "/",
    "out-by-proc-root": "/proc/self/root/{outside}/secret",
    "out-by-proc-cwd": "/proc/self/cwd",
    "out-by-device": "/dev/null",
    # In circles, and nowhere.
    "loop": "loop",
    "loop-a": "loop-b",
    "loop-b": "{root}/loop-a",
    "loop-folder": "loop-folder/x",
    "dangling": "nothing",
    "dangling-folder": "nothing/../report.pdf",
}


class FilesTree:
    """`root` and `second` to be sent from, `outside` not, and `alias`, another way to `root`."""

    def __init__(self, top: Path) -> None:
        top = top.resolve()
        self.root, self.second, self.outside = top / "root", top / "second", top / "outside"
        self.alias = top / "alias"
        for folder in (self.root / "folder" / "deep" / "deeper", self.second, self.outside, top / "root-2"):
            folder.mkdir(parents=True)
        self.alias.symlink_to("root")
        for name in ("report.pdf", "folder/inner.txt", "folder/deep/leaf", ".hidden", "two\nlines", "%2e%2e", "a\\b"):
            (self.root / name).write_text(f"inside {name}")
        (self.second / "other.txt").write_text("inside other.txt")
        (self.outside / "secret").write_text("outside")
        (self.outside / "back").symlink_to(self.root / "report.pdf")
        (top / "root-2" / "secret").write_text("outside")
        os.link(self.outside / "secret", self.root / "hard-link")
        self._add_links()
        self._add_special_files()

    def _add_links(self) -> None:
        for name, target in LINKS.items():
            (self.root / name).symlink_to(
                target.format(root=self.root, alias=self.alias, second=self.second, outside=self.outside)
            )
        # chain-N leads to a file over N links.
        (self.root / "chain-1").symlink_to("report.pdf")
        for length in range(2, 42):
            (self.root / f"chain-{length}").symlink_to(f"chain-{length - 1}")

    def _add_special_files(self) -> None:
        os.mkfifo(self.root / "fifo")
        folder = os.open(self.root, os.O_RDONLY)
        before = os.open(".", os.O_RDONLY)
        try:
            os.chdir(folder)  # the path of a socket is short
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind("socket")
        finally:
            os.chdir(before)
            os.close(before)
            os.close(folder)


def content_of(roots: Roots, path: AnyPath) -> bytes:
    """All of the file at `path`, read from the descriptor."""
    opened = roots.open(path)
    try:
        return os.pread(opened.fd, 1 << 16, 0)
    finally:
        opened.close()


def count_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir(DESCRIPTORS))


@contextmanager
def no_leaks() -> Iterator[None]:
    """Asserts that as many descriptors are open afterwards as before."""
    gc.disable()  # else it may close, just now, what a test before this one has left
    try:
        before = count_descriptors()
        yield
        assert count_descriptors() == before
    finally:
        gc.enable()
