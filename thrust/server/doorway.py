"""The first moments of a connection to a TLS port: what is spoken, which certificate is wanted, and the handshake.

A Doorway is the protocol of a connection just accepted. It reads the ClientHello, asks `choose` for the context that
fits its name and protocols, does the handshake, and leaves the connection to the protocol that both sides agreed on,
with a TlsTransport between. Who sends anything but TLS is left to `plain` (HTTP, to be redirected). The bytes that were
read are given on, so that no byte is looked at twice in the socket.

`Handshakes` guards those who are being served. The costly step, the answer to a ClientHello, is taken in turns of a few
milliseconds, between which the event loop goes round. A client has the time of a request's head for its handshake, and
when too many have not finished theirs the oldest goes, because an honest one needs no more than two round trips. Those
that have got their answer cost 45 KB each until they finish, so they are fewer.
"""

import asyncio
import ssl
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Protocol, cast

from thrust.errors import TlsRefusal
from thrust.flow import Deadline
from thrust.server.front import Front
from thrust.server.tls_transport import TlsTransport
from thrust.wire.client_hello import HANDSHAKE, HelloBuffer

HANDSHAKES_PER_TURN = 8
"""Answers to a ClientHello between two turns of the event loop: 2 ms with an ECDSA key, 10 with RSA of 2048 bits."""

OPEN_SHARE = 2
"""Handshakes under way are at most one of so many connections."""

MAX_ANSWERED = 2048
"""Handshakes that wait for the client's second message. A core answers 4,000 a second, and each is back after a round
trip, so that many honest ones are never there at once; OpenSSL keeps 92 MB for them."""

Connect = Callable[[], asyncio.Protocol]


class Choose(Protocol):
    """Knows the certificates (`tls/`)."""

    def __call__(self, server_name: bytes | None, protocols: tuple[bytes, ...], /) -> ssl.SSLContext:
        """The context to shake hands with, at once. Raises TlsRefusal."""
        ...


class TlsPort:
    """What all connections of a TLS port share. `by_alpn` has the key None for clients that agreed on nothing.

    A protocol without an entry is closed after its handshake: that is all that `acme-tls/1` wants (RFC 8737 §3).
    """

    def __init__(
        self,
        front: Front,
        loop: asyncio.AbstractEventLoop,
        *,
        choose: Choose,
        by_alpn: Mapping[str | None, Connect],
        plain: Connect,
        log_failure: Callable[[str, str], None],
    ) -> None:
        self.front = front
        self.loop = loop
        self.choose = choose
        self.by_alpn = by_alpn
        self.plain = plain
        self.log_failure = log_failure
        """Called with the client's address and what went wrong."""
        self.handshakes = Handshakes(loop, max(1, front.max_connections // OPEN_SHARE), front.timeouts.read_s)

    def connect(self) -> asyncio.Protocol:
        """The protocol for a connection that was accepted."""
        return Doorway(self)


class Handshakes:
    """All clients that have not finished their handshake, the oldest first."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_open: int, patience_s: float) -> None:
        self._loop = loop
        self._max_open = max_open
        self._patience_s = patience_s
        # Not a dict, which walks over all that it has lost to find its first.
        self._since_s: OrderedDict[Doorway, float] = OrderedDict()
        self._answered: OrderedDict[Doorway, None] = OrderedDict()
        self._ready: deque[Doorway] = deque()
        self._deadline = Deadline(loop, self._expire)

    def enter(self, doorway: "Doorway") -> None:
        """One more; perhaps one less."""
        if len(self._since_s) >= self._max_open:
            next(iter(self._since_s)).turn_away(f"{self._max_open} clients are shaking hands")
        if not self._since_s:
            self._deadline.set(self._patience_s)
        self._since_s[doorway] = self._loop.time()

    def leave(self, doorway: "Doorway") -> None:
        """It is over, one way or the other."""
        self._since_s.pop(doorway, None)
        self._answered.pop(doorway, None)

    def queue(self, doorway: "Doorway") -> None:
        """Calls `answer` in one of the next turns of the event loop."""
        if not self._ready:
            self._loop.call_soon(self._take_turn)
        self._ready.append(doorway)

    def _take_turn(self) -> None:
        for _ in range(min(HANDSHAKES_PER_TURN, len(self._ready))):
            doorway = self._ready.popleft()
            if doorway in self._since_s:
                self._make_room()
                self._answered[doorway] = None
                doorway.answer()
        if self._ready:
            self._loop.call_soon(self._take_turn)

    def _make_room(self) -> None:
        if len(self._answered) >= MAX_ANSWERED:
            next(iter(self._answered)).turn_away(f"{MAX_ANSWERED} clients have not finished their handshake")

    def _expire(self) -> None:
        """All have the same patience, so that one timer for the oldest is enough."""
        now_s = self._loop.time()
        while self._since_s:
            oldest = next(iter(self._since_s))
            left_s = self._since_s[oldest] + self._patience_s - now_s
            if left_s > 0.001:  # what a clock of milliseconds may fire too early
                self._deadline.set(left_s)
                return
            oldest.turn_away(f"no handshake within {self._patience_s:g} s")

    def __len__(self) -> int:
        return len(self._since_s)

    def __repr__(self) -> str:
        return f"<Handshakes {len(self._since_s)} open, {len(self._ready)} to be answered>"


class Doorway(asyncio.Protocol):
    """One client, until it is known what it speaks."""

    __slots__ = ("_hello", "_incoming", "_object", "_outgoing", "_port", "_transport")

    _transport: asyncio.Transport
    _incoming: ssl.MemoryBIO
    _outgoing: ssl.MemoryBIO

    def __init__(self, port: TlsPort) -> None:
        self._port = port
        self._hello = HelloBuffer()
        self._object: ssl.SSLObject | None = None

    # The transport tells (asyncio.Protocol)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted."""
        self._transport = cast(asyncio.Transport, transport)
        if not self._port.front.admit(self):
            self._transport.abort()
            return
        if self._port.front.is_draining:
            self._transport.close()
            return
        self._port.handshakes.enter(self)

    def data_received(self, data: bytes) -> None:
        """Takes the ClientHello, and later the rest of the handshake."""
        if self._transport.is_closing():
            return
        if self._object is not None:
            self._shake_hands(self._object, data)
        elif not self._hello.received and data[0] != HANDSHAKE:
            self._speak_plainly(data)
        else:
            self._receive_hello(data)

    def eof_received(self) -> bool:
        """Nobody says goodbye in the middle of a handshake and means to go on."""
        if not self._transport.is_closing() and self._hello.received:
            self._port.log_failure(self._peer_address(), "the client closed the connection")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Closed, by whomever."""
        self._forget()

    # The handshake

    def _receive_hello(self, data: bytes) -> None:
        was_complete = self._hello.hello is not None
        try:
            if self._hello.feed(data) and not was_complete:
                self._port.handshakes.queue(self)
        except TlsRefusal as refusal:
            self._refuse(refusal)

    def answer(self) -> None:
        """Chooses a context, and takes the costly step of the handshake (Handshakes)."""
        hello = self._hello.hello
        if hello is None or self._transport.is_closing():
            return
        try:
            context = self._port.choose(hello.server_name, hello.protocols)
        except TlsRefusal as refusal:
            self._refuse(refusal)
            return
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shake_hands(self._object, bytes(self._hello.received))

    def _shake_hands(self, ssl_object: ssl.SSLObject, data: bytes) -> None:
        self._incoming.write(data)
        failure = ""
        try:
            ssl_object.do_handshake()
            is_complete = True
        except ssl.SSLWantReadError:
            is_complete = False
        except ssl.SSLError as error:
            is_complete = False
            failure = error.reason or str(error)
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())
        if failure:
            self._fail(failure)
        elif is_complete:
            self._hand_over(ssl_object)

    def _hand_over(self, ssl_object: ssl.SSLObject) -> None:
        connect = self._port.by_alpn.get(ssl_object.selected_alpn_protocol())
        if connect is None:
            self._transport.close()
            return
        transport = TlsTransport(self._port.loop, self._transport, ssl_object, self._incoming, self._outgoing)
        self._forget()
        self._transport.set_protocol(transport)
        transport.start(connect())

    def _speak_plainly(self, data: bytes) -> None:
        protocol = self._port.plain()
        self._forget()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        protocol.data_received(data)

    # Endings

    def turn_away(self, reason: str) -> None:
        """Has taken too long (Handshakes)."""
        if not self._transport.is_closing():
            self._port.log_failure(self._peer_address(), reason)
        self._forget()
        self._transport.abort()

    def _refuse(self, refusal: TlsRefusal) -> None:
        """Sends the alert ourselves: there is no context that could."""
        self._transport.write(fatal_alert(refusal.alert))
        self._fail(str(refusal))

    def _fail(self, reason: str) -> None:
        self._port.log_failure(self._peer_address(), reason)
        self._transport.close()

    def _forget(self) -> None:
        """We are not the one who is connected any more."""
        self._port.handshakes.leave(self)
        self._port.front.dismiss(self)

    def _peer_address(self) -> str:
        peer = self._transport.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    # As the listener sees it (Drainable)

    @property
    def is_busy(self) -> bool:
        """False: nothing has been asked for."""
        return False

    def drain(self) -> None:
        """Ends the connection: its client will try another one."""
        self._transport.close()

    def end_stream(self, *, also_tunnel: bool = False) -> None:
        """There is none."""

    def abort(self) -> None:
        """Ends the connection."""
        self._transport.abort()

    def __repr__(self) -> str:
        return f"<Doorway {self._peer_address()} {'shaking hands' if self._object else 'waiting for a ClientHello'}>"


def fatal_alert(code: int) -> bytes:
    """A record that ends a handshake (RFC 8446 §6); its version is what every client takes at this point (§5.1)."""
    return b"\x15\x03\x03\x00\x02\x02%c" % code
