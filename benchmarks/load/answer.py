"""What a front has answered, and the content that its body stands for (RFC 9110 §8.4)."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.load.errors import BenchmarkError


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one GET."""

    coding: str
    """Its Content-Encoding; `identity` if it has none."""
    body: bytes
    """As it came, coded or not."""

    @property
    def content(self) -> bytes:
        """The body without its coding; raises if it cannot be decoded."""
        if self.coding not in DECODERS:
            raise BenchmarkError(f"an answer is coded with {self.coding}, expected are {', '.join(DECODERS)}")
        try:
            return DECODERS[self.coding](self.body)
        except Exception as error:  # each library has errors of its own
            raise BenchmarkError(f"an answer is no valid {self.coding}: {error!r}") from error


def compressed_with_brotli(content: bytes) -> bytes:
    """What the `brotli` program makes of `content` at quality 11."""
    import brotli  # `--check-tools` runs where only the standard library is there

    return bytes(brotli.compress(content, quality=11))


def _brotli_decoded(body: bytes) -> bytes:
    import brotli

    return bytes(brotli.decompress(body))


DECODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "br": _brotli_decoded,
}
