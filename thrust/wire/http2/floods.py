"""When a client has asked for too much that means nothing (RFC 9113 §10.5): ENHANCE_YOUR_CALM.

Each kind of cheap trouble has a Budget: so many at once, and so many per second for as long as the connection lives.
Browsers and libraries stay far below; what an attacker gets out of a budget costs us a few per cent of a core.
"""

from dataclasses import dataclass

from thrust.wire.http2.frames import ConnectionFault, ErrorCode


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many at once, and per second."""

    what: str
    at_once: int
    per_s: float


CONTROL_FRAMES = Allowance("control frames", 1000, 100)
"""PING, SETTINGS, PRIORITY, PRIORITY_UPDATE, unknown frames, what comes for streams that are over, and resets of those
whose answer has begun. Firefox sends six PRIORITY at the start, gRPC a PING with each burst of data. A SETTINGS counts
as SETTINGS_COST: it is answered, and looks at every stream (CVE-2019-9512, -9515)."""

SETTINGS_COST = 10

EMPTY_FRAMES = Allowance("DATA frames without content", 100, 10)
"""Neither content nor an end (CVE-2019-9518). Go allows 1000 in a row for clients that pad."""

WINDOW_UPDATES = Allowance("WINDOW_UPDATE frames", 2000, 100)
"""Beyond what content justifies: each BYTES_PER_UPDATE that we send earn one more. So a client that opens its windows
by single bytes (CVE-2019-9511, -9517) is told to go."""

BYTES_PER_UPDATE = 1024

RESETS = Allowance("streams reset by the client before their answer", 200, 20)
"""Rapid reset, CVE-2023-44487. A browser that leaves a page cancels at most MAX_CONCURRENT_STREAMS at once. A client
that has waited for the head of the answer has asked for no more than anybody who reads it to the end."""

PROVOKED_RESETS = Allowance("streams that broke the rules", 100, 10)
"""MadeYouReset, CVE-2025-8671: streams that we reset because of what the client sent on them, malformed requests and
those beyond MAX_CONCURRENT_STREAMS included."""

MAX_CONTINUATIONS = 32
"""Per field section (CVE-2024-27316); four frames hold MAX_BLOCK_BYTES. nginx counts bytes only."""


class Budget:
    """What is left of an allowance."""

    __slots__ = ("_allowance", "_left", "_seen_s")

    def __init__(self, allowance: Allowance, now_s: float) -> None:
        self._allowance = allowance
        self._left = float(allowance.at_once)
        self._seen_s = now_s

    def spend(self, now_s: float, cost: int = 1) -> None:
        """Takes `cost` out; raises ConnectionFault if that is not left."""
        allowance = self._allowance
        self._left = min(self._left + (now_s - self._seen_s) * allowance.per_s, allowance.at_once) - cost
        self._seen_s = now_s
        if self._left < 0:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, f"too many {allowance.what}")

    def earn(self, amount: float) -> None:
        """Puts back what has been earned; never more than the allowance's `at_once` is kept."""
        self._left += amount

    def __repr__(self) -> str:
        return f"<Budget {self._left:.0f} {self._allowance.what}>"
