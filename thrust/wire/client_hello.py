"""The first message of a TLS client: which name it asks for, and which protocols it speaks (RFC 8446 §4.1.2).

`server/doorway` reads it before OpenSSL does, because what answers depends on it: the certificate of that name, the
context for `acme-tls/1`, or a refusal. Nothing is negotiated here. OpenSSL gets the same bytes and judges everything
else, so only what leads to the two fields is parsed, with every length checked.

A ClientHello may be spread over several records (§5.1) and these over any number of reads. It is bounded: browsers send
less than 2 KB, also with post-quantum key shares; nginx takes 16 KB too.
"""

from dataclasses import dataclass

from thrust.errors import Alert, TlsRefusal

MAX_HELLO_BYTES = 16384
"""The message without its framing."""

MAX_RECEIVED_BYTES = 2 * MAX_HELLO_BYTES
"""The same with it: a record may carry a single byte, and has a header of five."""

HANDSHAKE = 0x16
"""The first byte of every TLS connection, and of no HTTP request."""

_RECORD_HEADER_BYTES = 5
_MAX_RECORD_BYTES = 16384
_MESSAGE_HEADER_BYTES = 4
_CLIENT_HELLO = 1
_RANDOM_BYTES = 32
_SERVER_NAME = 0  # RFC 6066 §3
_HOST_NAME = 0
_ALPN = 16  # RFC 7301 §3.1


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client says about itself before anything is agreed; anybody may say anything.

    `server_name` is in lower case, None if the client names none; `protocols` is empty if it offers none by ALPN.
    """

    server_name: bytes | None
    protocols: tuple[bytes, ...]


class HelloBuffer:
    """Gathers what a client sends until its ClientHello is complete."""

    __slots__ = ("_message", "_parsed_bytes", "hello", "received")

    def __init__(self) -> None:
        self.hello: ClientHello | None = None
        """None until it is complete."""
        self.received = bytearray()
        """All that came, for whoever does the handshake."""
        self._message = bytearray()
        self._parsed_bytes = 0

    def feed(self, data: bytes) -> bool:
        """Whether the ClientHello is complete by now. Raises TlsRefusal for what is not going to be one."""
        self.received += data
        while self.hello is None and len(self.received) - self._parsed_bytes >= _RECORD_HEADER_BYTES:
            start = self._parsed_bytes + _RECORD_HEADER_BYTES
            stop = start + _record_bytes(self.received[self._parsed_bytes : start])
            if len(self.received) < stop:
                break
            self._message += self.received[start:stop]
            self._parsed_bytes = stop
            self.hello = self._parse()
        if len(self.received) > MAX_RECEIVED_BYTES:
            raise TlsRefusal(f"a ClientHello in more than {MAX_RECEIVED_BYTES} bytes", alert=Alert.DECODE_ERROR)
        return self.hello is not None

    def _parse(self) -> ClientHello | None:
        message = self._message
        if message and message[0] != _CLIENT_HELLO:
            raise TlsRefusal(f"a handshake that begins with message {message[0]}", alert=Alert.UNEXPECTED_MESSAGE)
        if len(message) < _MESSAGE_HEADER_BYTES:
            return None
        length = int.from_bytes(message[1:_MESSAGE_HEADER_BYTES])
        if length > MAX_HELLO_BYTES:
            raise TlsRefusal(
                f"a ClientHello of {length} bytes, at most {MAX_HELLO_BYTES} are read", alert=Alert.DECODE_ERROR
            )
        if len(message) < _MESSAGE_HEADER_BYTES + length:
            return None
        return parse_client_hello(bytes(message[_MESSAGE_HEADER_BYTES : _MESSAGE_HEADER_BYTES + length]))


def _record_bytes(header: bytearray) -> int:
    """The length that a record's header tells."""
    if header[0] != HANDSHAKE:
        raise TlsRefusal(f"a record of type {header[0]} before the ClientHello", alert=Alert.UNEXPECTED_MESSAGE)
    if header[1] != 3:
        raise TlsRefusal(f"a record of version {header[1]}.{header[2]}", alert=Alert.PROTOCOL_VERSION)
    length = int.from_bytes(header[3:])
    if not 0 < length <= _MAX_RECORD_BYTES:
        raise TlsRefusal(f"a record of {length} bytes in the handshake", alert=Alert.DECODE_ERROR)
    return length


def parse_client_hello(body: bytes) -> ClientHello:
    """What is in a whole ClientHello, given without the header of the message. Raises TlsRefusal."""
    fields = _Fields(body)
    fields.take(2 + _RANDOM_BYTES)  # legacy_version, random
    fields.vector(1)  # legacy_session_id
    fields.vector(2)  # cipher_suites
    fields.vector(1)  # legacy_compression_methods
    server_name: bytes | None = None
    protocols: tuple[bytes, ...] = ()
    if not fields.is_empty:  # TLS 1.2 knows a ClientHello without extensions
        extensions = fields.last_vector(2)
        seen = set()
        while not extensions.is_empty:
            kind, value = int.from_bytes(extensions.take(2)), extensions.vector(2)
            if kind in seen:
                raise TlsRefusal(f"extension {kind} twice in a ClientHello", alert=Alert.ILLEGAL_PARAMETER)
            seen.add(kind)
            if kind == _SERVER_NAME:
                server_name = _host_name(value)
            elif kind == _ALPN:
                protocols = _protocol_names(value)
    return ClientHello(server_name, protocols)


def _host_name(value: "_Fields") -> bytes | None:
    names = value.last_vector(2)
    while not names.is_empty:
        kind, name = names.take(1)[0], names.vector(2)
        if kind == _HOST_NAME:
            return name.rest().lower()
    return None


def _protocol_names(value: "_Fields") -> tuple[bytes, ...]:
    names = value.last_vector(2)
    found = []
    while not names.is_empty:
        found.append(names.vector(1).rest())
    return tuple(found)


class _Fields:
    """Bytes that are taken from the front; TlsRefusal where there are fewer than something says, or more."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise TlsRefusal("a ClientHello whose lengths contradict each other", alert=Alert.DECODE_ERROR)
        self._at += count
        return taken

    def vector(self, length_bytes: int) -> "_Fields":
        """What follows behind its own length, a number of `length_bytes` (RFC 8446 §3.4)."""
        return _Fields(self.take(int.from_bytes(self.take(length_bytes))))

    def last_vector(self, length_bytes: int) -> "_Fields":
        """The same, where nothing may come after it."""
        found = self.vector(length_bytes)
        if not self.is_empty:
            raise TlsRefusal("a ClientHello that goes on behind its end", alert=Alert.DECODE_ERROR)
        return found

    def rest(self) -> bytes:
        """All that has not been taken."""
        return self.take(len(self._data) - self._at)
