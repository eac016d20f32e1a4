"""Header sections as bytes: decoding a client's, encoding ours (HPACK, RFC 7541).

Decoding is hpack's, with a shorter way for indexed fields and with errors of our own. Encoding is stateless: static
names, literals, nothing that enters a table. So a block can be prepared once and sent on every connection, for a few
more bytes per response, and no client can make us keep a table; the first block of each connection says so.
"""

from collections.abc import Sequence
from functools import lru_cache

import hpack
from hpack.exceptions import HPACKError, OversizedHeaderListError
from hpack.hpack import decode_integer
from hpack.huffman_table import decode_huffman

from thrust.http.headers import FieldLine
from thrust.wire.http1.heads import MAX_HEAD_BYTES
from thrust.wire.http2.frames import ConnectionFault, ErrorCode

MAX_LIST_BYTES = 2 * MAX_HEAD_BYTES
"""Decoded, counted as SETTINGS_MAX_HEADER_LIST_SIZE is: 32 bytes per field are added. Up to here a section beyond the
limits of HTTP/1.1 is answered with 431. Beyond it, it is an attack, and decoding stops: each byte of a block can stand
for 4 KB (the HPACK bomb, CVE-2016-6581)."""

MAX_SIZE_UPDATES = 2
"""At the start of a block: the smallest size since the last one, and the final one (RFC 7541 §4.2)."""

MAX_INTEGER_BYTES = 6
"""With its prefix: more than any length needs that we accept."""

NO_TABLE = b"\x20"
"""Dynamic table size update to 0 (RFC 7541 §6.3): we keep none, whatever the client would allow."""

_STATIC = tuple((bytes(name), bytes(value)) for name, value in hpack.table.HeaderTable.STATIC_TABLE)
_STATIC_LENGTH = len(_STATIC)
_NAME_INDEX = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC, 1)))}
_STATUS_INDEX = {int(value): index for index, (name, value) in enumerate(_STATIC, 1) if name == b":status"}

_LITERAL, _NEVER_INDEXED = 0x00, 0x10
_SECRETS = frozenset({b"set-cookie", b"www-authenticate", b"proxy-authenticate"})
"""What no hop may put into a table, where it could be guessed (RFC 7541 §7.1)."""

MAX_REMEMBERED_LINE_BYTES = 128
MAX_REMEMBERED_LINES = 1024
"""Encoded lines; all are forgotten when there are too many. 0.3 MB."""


class FieldDecoder(hpack.Decoder):
    """Decodes the blocks of one connection. `generation` changes whenever its table does."""

    def __init__(self) -> None:
        super().__init__(MAX_LIST_BYTES)
        self.generation = 0

    def decode_block(self, block: bytes) -> list[FieldLine]:
        """The fields in `block`, in order. Raises ConnectionFault: nothing can be decoded after an error."""
        fields: list[FieldLine] = []
        at, end, size_bytes, updates = 0, len(block), 0, 0
        try:
            while at < end:
                first = block[at]
                if first > 0x80 and first != 0xFF:
                    field, at = self._indexed(first & 0x7F), at + 1
                elif 0x20 <= first < 0x40:
                    if fields:
                        raise HPACKError("table size update behind a field")
                    updates += 1
                    if updates > MAX_SIZE_UPDATES:
                        raise HPACKError(f"more than {MAX_SIZE_UPDATES} table size updates")
                    self.generation += 1
                    at += self._update_encoding_context(block[at : at + MAX_INTEGER_BYTES])
                    continue
                else:
                    field, at = self._literal(block, at)
                fields.append(field)
                size_bytes += len(field[0]) + len(field[1]) + 32
                if size_bytes > MAX_LIST_BYTES:
                    raise OversizedHeaderListError(f"header list of more than {MAX_LIST_BYTES} bytes")
            self._assert_valid_table_size()
        except OversizedHeaderListError as error:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, str(error)) from error
        except (HPACKError, IndexError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"undecodable header block: {error}") from error
        return fields

    def _indexed(self, index: int) -> FieldLine:
        return _STATIC[index - 1] if index <= _STATIC_LENGTH else self.header_table.get_by_index(index)

    def _literal(self, block: bytes, at: int) -> tuple[FieldLine, int]:
        """The literal at `at`, or an indexed field whose index takes several bytes; and the position after it."""
        first = block[at]
        is_indexed, enters_table = first >= 0x80, 0x40 <= first < 0x80
        index, after = _read_integer(block, at, 7 if is_indexed else 6 if enters_table else 4)
        if is_indexed:
            return self.header_table.get_by_index(index), after
        if index:
            name = self.header_table.get_by_index(index)[0]
        else:
            name, after = _read_string(block, after)
        value, after = _read_string(block, after)
        if enters_table:
            self.generation += 1
            self.header_table.add(name, value)
        return (name, value), after


def _read_integer(block: bytes, at: int, prefix_bits: int) -> tuple[int, int]:
    number, consumed = decode_integer(block[at : at + MAX_INTEGER_BYTES], prefix_bits)
    return number, at + consumed


def _read_string(block: bytes, at: int) -> tuple[bytes, int]:
    is_coded = block[at] >= 0x80
    length, start = _read_integer(block, at, 7)
    end = start + length
    if end > len(block):
        raise HPACKError("truncated string")
    value = block[start:end]
    return (bytes(decode_huffman(value)) if is_coded else value), end


def response_block(status: int, lines: Sequence[FieldLine]) -> bytes:
    """The block of a response head."""
    index = _STATUS_INDEX.get(status)
    start = bytes((0x80 | index,)) if index is not None else _encoded(b":status", b"%d" % status)
    return start + field_block(lines)


def field_block(lines: Sequence[FieldLine]) -> bytes:
    """The block of these fields, whose names are in lower case."""
    known = _known_lines
    pieces = []
    for line in lines:
        piece = known.get(line)
        if piece is None:
            piece = _encoded(*line)
            if len(piece) <= MAX_REMEMBERED_LINE_BYTES and line[0] not in _SECRETS:
                if len(known) >= MAX_REMEMBERED_LINES:
                    known.clear()
                known[line] = piece
        pieces.append(piece)
    return b"".join(pieces)


_known_lines: dict[FieldLine, bytes] = {}


def _encoded(name: bytes, value: bytes) -> bytes:
    kind = _NEVER_INDEXED if name in _SECRETS else _LITERAL
    return _encoded_name(name, kind) + _integer(len(value), 7, 0) + value


@lru_cache(maxsize=256)
def _encoded_name(name: bytes, kind: int) -> bytes:
    index = _NAME_INDEX.get(name)
    if index is not None:
        return _integer(index, 4, kind)
    return bytes((kind,)) + _integer(len(name), 7, 0) + name


def _integer(number: int, prefix_bits: int, flags: int) -> bytes:
    """`number` with `flags` in the bits before it (RFC 7541 §5.1)."""
    largest = (1 << prefix_bits) - 1
    if number < largest:
        return bytes((flags | number,))
    data = bytearray((flags | largest,))
    number -= largest
    while number >= 128:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
