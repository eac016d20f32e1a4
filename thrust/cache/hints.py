"""What the cache remembers of resources beside responses: whose answers cannot be shared, who failed, what has changed.

The handler notes it, and asks before it lets requests wait for each other, or stores what has taken a while to come.
All of it may be forgotten: that costs requests to the worker, and nothing else. Resources are remembered by their hash,
because a key may be as long as a request's head; what two with one hash have in common is a hint, never a response.
"""

import time

from thrust.cache.flights import Place
from thrust.cache.stored import Key

UNSHARED_S = 60.0
"""Nobody waits for an answer that could not be shared the last time, for so long."""

FAILURE_S = 1.0
"""After an error in whose place something stale was sent the worker is left in peace for so long. After one that was
passed on nobody waits for another's answer: that may be an error, too."""

MAX_REMEMBERED = 8192
"""Of each kind; then all are forgotten. About 1 MB."""


class Hints:
    """Hints about resources. `changes` counts what `note_change` was told."""

    __slots__ = ("_changed", "_failures", "_forgotten_changes", "_unshared", "changes")

    def __init__(self) -> None:
        self.changes = 0
        self._changed: dict[int, int] = {}
        self._forgotten_changes = 0
        self._failures: dict[int, tuple[float, int]] = {}
        self._unshared: dict[int, tuple[float, bool]] = {}

    # Answers that are for one client

    def is_page(self, key: Key) -> bool:
        """Whether nothing is stored for `key`, and the last answer was a page without a lifetime (forward-1k)."""
        until_s, is_page = self._unshared.get(hash((key, None)), (0.0, False))
        return is_page and until_s > time.monotonic()

    def is_unshared(self, place: Place) -> bool:
        """Whether the last answer could not be shared."""
        return self._unshared.get(hash(place), (0.0, False))[0] > time.monotonic()

    def note_unshared(self, place: Place, *, is_page: bool = False, is_transient: bool = False) -> None:
        """An answer could not be shared; `is_page` if that is because it names no lifetime, as most do.

        `is_transient` if the next one will be another, as after an error.
        """
        if len(self._unshared) >= MAX_REMEMBERED:
            self._unshared.clear()
        until_s = time.monotonic() + (FAILURE_S if is_transient else UNSHARED_S)
        self._unshared[hash(place)] = (until_s, is_page and not is_transient)

    def note_stored(self, key: Key, place: Place) -> None:
        """An answer was stored."""
        if self._unshared:
            self._unshared.pop(hash((key, None)), None)
            self._unshared.pop(hash(place), None)

    # Errors

    def failure(self, key: Key) -> int | None:
        """The status of an error that the worker has just answered with, None if it has not."""
        until_s, status = self._failures.get(hash(key), (0.0, 0))
        return status if until_s > time.monotonic() else None

    def note_failure(self, key: Key, status: int) -> None:
        """The worker has failed; what is stale helps out."""
        if len(self._failures) >= MAX_REMEMBERED:
            self._failures.clear()
        self._failures[hash(key)] = (time.monotonic() + FAILURE_S, status)

    # Changes by unsafe methods (RFC 9111 §4.4)

    def has_changed(self, key: Key, since: int) -> bool:
        """Whether the resource may have changed since the worker was asked, when `changes` was `since`."""
        return self._changed.get(hash(key), self._forgotten_changes) > since

    def note_change(self, key: Key) -> None:
        """An unsafe request may have changed the resource."""
        if len(self._changed) >= MAX_REMEMBERED:
            self._changed.clear()
            self._forgotten_changes = self.changes
        self.changes += 1
        self._changed[hash(key)] = self.changes

    def __repr__(self) -> str:
        return f"<Hints: {len(self._unshared)} unshared, {len(self._failures)} failures, {len(self._changed)} changes>"
