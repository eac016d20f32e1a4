"""Finding out whether a client that ended its sending side is still there.

A closed socket and a half-closed one look alike until something is sent. `100 Continue` is something that any HTTP/1.1
client has to be able to read before its answer (RFC 9110 §15.2.1); a closed one replies with a reset. Once the answer
has begun its next bytes do the same. If there are none for a second the client counts as gone: an app that streams has
to hear of those who left, and who half-closes waits for a short answer.
"""

import asyncio
from collections.abc import Callable

from thrust.flow import WriteGate
from thrust.http.exchange import Exchange
from thrust.server.sockets import reset, was_reset
from thrust.wire.http1.writing import CONTINUE

CHECKS_S = (0.02, 0.2, 1.0)
"""When, after a client has ended its sending side, we look whether a reset says that it has closed altogether."""


class DepartureWatch:
    """Watches the client of one exchange until that is over; resets the connection of one that has gone."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        gate: WriteGate,
        exchange: Exchange,
        is_over: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._gate = gate
        self._exchange = exchange
        self._is_over = is_over

    def begin(self, *, may_ask: bool) -> None:
        """Looks from now on, after provoking a reset if that is possible; `may_ask` where 100 would be understood."""
        if self._transport.is_closing():
            return
        if may_ask and not self._exchange.status:
            self._transport.write(CONTINUE)
        elif was_reset(self._transport):
            self._transport.abort()
            return
        self._look_after(0)

    def _look_after(self, step: int) -> None:
        delay_s = CHECKS_S[min(step, len(CHECKS_S) - 1)]
        self._loop.call_later(delay_s, self._look, step + 1, self._exchange.body_bytes)

    def _look(self, step: int, sent_bytes: int) -> None:
        exchange = self._exchange
        if self._is_over() or exchange.status == 101 or self._transport.is_closing():
            return
        if was_reset(self._transport):
            self._transport.abort()
        elif step < len(CHECKS_S):
            self._look_after(step)
        elif exchange.status and exchange.body_bytes == sent_bytes and self._gate.is_open:
            reset(self._transport)
        elif exchange.status:
            self._look_after(step)
