"""Reading header sections: pieces of blocks put together, blocks decoded, blocks that come again recognised.

For `engine`, one per connection. A section may be spread over CONTINUATIONs, which are counted before anything is
decoded (CVE-2024-27316). Browsers and load generators send the same section again and again; once the table has settled
it is the same bytes, which then cost a look-up instead of decoding and understanding (benchmark h2-cached-10k).
"""

from collections.abc import Sequence

from thrust.http.headers import FieldLine
from thrust.wire.http1.heads import MAX_HEAD_BYTES
from thrust.wire.http2 import floods
from thrust.wire.http2.field_blocks import FieldDecoder
from thrust.wire.http2.frames import CONTINUATION, ConnectionFault, ErrorCode
from thrust.wire.http2.requests import Http2RequestHead, copy_of

MAX_BLOCK_BYTES = MAX_HEAD_BYTES
"""Of a header section as it is sent: one that is larger would be larger still when decoded."""

MAX_KNOWN_BLOCKS = 64
MAX_KNOWN_BLOCK_BYTES = 512
"""Per connection: header sections that came before, for as long as they mean the same."""


class OpenBlock:
    """A header section whose CONTINUATIONs are still to come (§4.3)."""

    __slots__ = ("_pieces", "_size_bytes", "flags", "stream_id")

    def __init__(self, stream_id: int, flags: int, piece: bytes) -> None:
        self.stream_id = stream_id
        self.flags = flags
        self._pieces = [piece]
        self._size_bytes = len(piece)

    def add(self, kind: int, stream_id: int, piece: bytes) -> None:
        """Takes the next frame. Raises ConnectionFault if it is none of this section, or one too many."""
        if kind != CONTINUATION or stream_id != self.stream_id:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header section is interrupted")
        self._pieces.append(piece)
        self._size_bytes += len(piece)
        count = len(self._pieces) - 1
        if count > floods.MAX_CONTINUATIONS or self._size_bytes > MAX_BLOCK_BYTES:
            seen = f"header section of {count} CONTINUATIONs and {self._size_bytes} bytes"
            limits = f"at most {floods.MAX_CONTINUATIONS} and {MAX_BLOCK_BYTES} are accepted"
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"{seen}, {limits}")

    @property
    def block(self) -> bytes:
        """All of it."""
        return b"".join(self._pieces)


class SectionReader:
    """Decodes the sections of one connection, and remembers what requests without content meant."""

    __slots__ = ("_decoder", "_generation", "_known")

    def __init__(self) -> None:
        self._decoder = FieldDecoder()
        self._known: dict[bytes, Http2RequestHead] = {}
        self._generation = 0

    def decode(self, block: bytes) -> Sequence[FieldLine]:
        """The fields of a block. Raises ConnectionFault."""
        return self._decoder.decode_block(block)

    def known_head(self, block: bytes) -> Http2RequestHead | None:
        """What these bytes meant before, for one more request, if the table has not changed since."""
        if self._generation != self._decoder.generation:
            self._known.clear()
            self._generation = self._decoder.generation
            return None
        head = self._known.get(block)
        return None if head is None else copy_of(head)

    def remember(self, block: bytes, head: Http2RequestHead) -> None:
        """Keeps what decoding has found, unless the same bytes would change the table once more."""
        is_lasting = self._generation == self._decoder.generation and not head.protocol
        if is_lasting and len(block) <= MAX_KNOWN_BLOCK_BYTES and len(self._known) < MAX_KNOWN_BLOCKS:
            self._known[block] = copy_of(head)
