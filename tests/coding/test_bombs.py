"""Content that decodes to far more than there is room for: refused early, in bounded memory."""

import subprocess
import sys
import tracemalloc

import pytest

from thrust.coding.codec import CodingError
from thrust.coding.codings import CODINGS, compress_quickly, decompress

BOMB_BYTES = 32 << 20
ROOM_BYTES = 100_000


@pytest.mark.parametrize("coding", CODINGS, ids=bytes.decode)
def test_a_bomb_is_refused_before_it_goes_off(coding: bytes) -> None:
    bomb = compress_quickly(coding, bytes(BOMB_BYTES))
    tracemalloc.start()
    try:
        with pytest.raises(CodingError, match="exceeds 100000 bytes"):
            decompress(coding, bomb, ROOM_BYTES)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 5 * ROOM_BYTES


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize("coding", CODINGS, ids=bytes.decode)
def test_the_libraries_themselves_hold_no_more_than_a_window(coding: bytes) -> None:
    """A process of its own, since the peak of a process never falls."""
    program = f"""
import resource, sys
from thrust.coding.codings import decompress
from thrust.coding.codec import CodingError
bomb = sys.stdin.buffer.read()
def peak_kb(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try: decompress({coding!r}, b"", 1)
except CodingError: pass
before_kb = peak_kb()
try: decompress({coding!r}, bomb, {ROOM_BYTES})
except CodingError: print(peak_kb() - before_kb)
"""
    bomb = compress_quickly(coding, bytes(4 * BOMB_BYTES))
    ran = subprocess.run([sys.executable, "-c", program], input=bomb, capture_output=True, timeout=60, check=True)
    assert int(ran.stdout) < 16 << 10
