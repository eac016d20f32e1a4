"""TLS on an asyncio transport: towards the client's protocol a transport, towards the socket's transport a protocol.

`doorway` makes one when a handshake is complete. The loops have TLS of their own, which is not used for three reasons.
It cannot be given what has been read already, and without reading the ClientHello nobody knows which certificate is
wanted. The standard library's keeps 256 KB per connection, where an idle one costs us what OpenSSL keeps. And neither
has a half-close, without which an early answer is lost while its request is still being sent, and a tunnel ends too
soon.

Everything is synchronous: what arrives is decrypted and delivered in the same turn, what is written is encrypted at
once and waits, if it has to, in the socket's transport. That one also says when to pause writing. Between two turns
OpenSSL holds nothing but the beginning of an incomplete record.

The end of the TCP stream counts as an end even without `close_notify`: HTTP tells by itself whether a message is
complete. Renegotiation is off in every context (`tls/contexts`), so that writing never waits for reading.
"""

import asyncio
import contextlib
import ssl
from typing import Any, cast

DECRYPTED_BYTES = 32768
"""What is decrypted at once. OpenSSL's buffers keep the size that they have once needed: two records fill 43 KB."""

ENCRYPTED_BYTES = 20480
"""What is encrypted at once, for the same reason: OpenSSL takes whatever it is given, and 100 KB fill 134 KB until the
client has gone (benchmark tls-idle-memory). This much, a full record and a head, fills 22 KB."""

RECORD_BYTES = 16384
RECORDS_AT_ONCE = 4
"""Of something longer that are handed on together: a write of its own for each costs as much as encrypting it."""

MAX_OWED_BYTES = 16384
"""Of answers to the TLS of a client that does not read: it may ask for new keys as often as it likes (RFC 8446 §4.6.3).
"""

_NOBODY = asyncio.Protocol()


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """One TLS connection, from its handshake to `connection_lost`."""

    __slots__ = (
        "_held",
        "_incoming",
        "_is_closing",
        "_is_paused",
        "_is_write_paused",
        "_loop",
        "_object",
        "_outgoing",
        "_protocol",
        "_saw_eof",
        "_said_goodbye",
        "_socket_transport",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        socket_transport: asyncio.Transport,
        ssl_object: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
    ) -> None:
        self._loop = loop
        self._socket_transport = socket_transport
        self._object = ssl_object
        self._incoming = incoming
        self._outgoing = outgoing
        self._protocol: asyncio.Protocol = _NOBODY
        self._held = b""
        """Encrypted, and to be decrypted when reading goes on."""
        self._is_paused = False
        self._is_write_paused = False
        self._is_closing = False
        self._said_goodbye = False
        self._saw_eof = False

    def start(self, protocol: asyncio.Protocol) -> None:
        """Begins to serve as `protocol`'s transport, with what came behind the handshake."""
        self._protocol = protocol
        protocol.connection_made(self)
        if not self.is_closing():
            self._decrypt(b"")

    # The socket's transport tells (asyncio.Protocol)

    def data_received(self, data: bytes) -> None:
        """Decrypts and delivers."""
        if len(data) <= DECRYPTED_BYTES and not self._held:
            self._decrypt(data)
        else:
            self._held += data
            self._decrypt_held()

    def eof_received(self) -> bool:
        """The client sends no more, and may not have said so in TLS."""
        if self._is_closing:
            return False
        return self._saw_eof or self._end_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Closed, by whomever; lets go of everything, because a collection may be far away."""
        protocol, self._protocol = self._protocol, _NOBODY
        self._is_closing = True
        self._held = b""
        protocol.connection_lost(error)
        del self._object, self._incoming, self._outgoing

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._is_write_paused = True
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._is_write_paused = False
        self._send_owed()
        self._protocol.resume_writing()

    def _decrypt_held(self) -> None:
        data, self._held = self._held, b""
        for start in range(0, len(data), DECRYPTED_BYTES):
            if self._is_paused:
                self._held = data[start:]
                return
            self._decrypt(data[start : start + DECRYPTED_BYTES])

    def _decrypt(self, data: bytes) -> None:
        """Delivers all that `data` completes."""
        if self._is_closing or self._saw_eof:
            return
        incoming, ssl_object = self._incoming, self._object
        incoming.write(data)
        pieces: list[bytes] = []
        has_ended = False
        try:
            # The check saves an exception per request, which costs as much as decrypting it (benchmark tls-cached-10k).
            while not pieces or incoming.pending or ssl_object.pending():
                piece = ssl_object.read(DECRYPTED_BYTES)
                if not piece:
                    has_ended = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            has_ended = True
        except ssl.SSLError:
            self.abort()  # nothing that it sent can be believed, nor that it gets an alert
            return
        if self._outgoing.pending:
            self._send_owed()
        if pieces:
            self._protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if has_ended and not self.is_closing() and not self._end_reading():
            self.close()

    def _end_reading(self) -> bool:
        """The client has ended its side; whether ours stays open."""
        self._saw_eof = True
        return bool(self._protocol.eof_received())

    def _send_owed(self) -> None:
        """Sends what TLS itself has to say: alerts, and answers to questions for new keys."""
        if self._is_closing or not self._outgoing.pending:
            return
        if not self._is_write_paused:
            self._socket_transport.write(self._outgoing.read())
        elif self._outgoing.pending > MAX_OWED_BYTES:
            self._socket_transport.abort()

    # The client's protocol asks (asyncio.Transport)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypts and sends; ignored once closed, as by any transport."""
        if self._is_closing or self._said_goodbye:
            return
        try:
            if len(data) > ENCRYPTED_BYTES:
                self._write_long(memoryview(data))
            elif data:
                self._object.write(data)
                self._socket_transport.write(self._outgoing.read())
        except ssl.SSLError:
            self.abort()

    def _write_long(self, data: memoryview) -> None:
        """Encrypts and sends a few records at a time."""
        records: list[bytes] = []
        for start in range(0, len(data), RECORD_BYTES):
            if len(records) == RECORDS_AT_ONCE:
                self._socket_transport.write(b"".join(records))
                records.clear()
            self._object.write(data[start : start + RECORD_BYTES])
            records.append(self._outgoing.read())
        self._socket_transport.write(b"".join(records))

    def can_write_eof(self) -> bool:
        """True: `close_notify` ends one direction only (RFC 8446 §6.1)."""
        return True

    def write_eof(self) -> None:
        """Ends our side; what the client sends still arrives."""
        if self._is_closing or self._said_goodbye:
            return
        self._say_goodbye()
        self._socket_transport.write_eof()

    def close(self) -> None:
        """Ends the connection once all has been sent. Nothing more arrives."""
        if self._is_closing:
            return
        if not self._said_goodbye:
            self._say_goodbye()
        self._is_closing = True
        self._held = b""
        self._socket_transport.close()

    def abort(self) -> None:
        """Ends the connection now."""
        self._is_closing = True
        self._held = b""
        self._socket_transport.abort()

    def _say_goodbye(self) -> None:
        """Sends `close_notify`, so that the client knows that nothing was cut off; does not wait for its own."""
        self._said_goodbye = True
        with contextlib.suppress(ssl.SSLError):  # usually SSLWantReadError: the client's has not come
            self._object.unwrap()
        if self._outgoing.pending and not self._socket_transport.is_closing():
            self._socket_transport.write(self._outgoing.read())

    def is_closing(self) -> bool:
        """Whether this is the end."""
        return self._is_closing or self._socket_transport.is_closing()

    def pause_reading(self) -> None:
        """Delivers nothing until `resume_reading`."""
        if not self._is_paused and not self.is_closing():
            self._is_paused = True
            self._socket_transport.pause_reading()

    def resume_reading(self) -> None:
        """Delivers again, beginning in the next turn with what was held back."""
        if self._is_paused and not self.is_closing():
            self._is_paused = False
            self._loop.call_soon(self._go_on_reading)

    def _go_on_reading(self) -> None:
        self._decrypt_held()
        if not self._is_paused and not self.is_closing() and not self._socket_transport.is_reading():
            self._socket_transport.resume_reading()

    def is_reading(self) -> bool:
        """Whether what arrives is delivered."""
        return not self._is_paused and not self.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is asked of TLS transports (`ssl_object`, `sslcontext`), and all that the socket's knows."""
        if name == "ssl_object":
            return getattr(self, "_object", default)
        if name == "sslcontext":
            return self._object.context if hasattr(self, "_object") else default
        return self._socket_transport.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who gets what arrives."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Lets somebody else have what arrives."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_write_buffer_size(self) -> int:
        """Encrypted bytes that the socket has not taken."""
        return self._socket_transport.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high water mark, in encrypted bytes."""
        return self._socket_transport.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When the protocol is told to pause and to resume writing, in encrypted bytes."""
        self._socket_transport.set_write_buffer_limits(high, low)

    def __repr__(self) -> str:
        return f"<TlsTransport {'closing' if self._is_closing else 'open'}, {self._protocol!r}>"
