"""A short run of the fuzzer of HTTP/2, the same each time."""

from tests.fuzz import http2


def test_random_frames_are_understood_or_refused() -> None:
    http2.run(seed=2, connections=60)
