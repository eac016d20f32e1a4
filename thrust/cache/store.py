"""Stored responses within a budget of bytes: the least recently used make room for new ones.

Each key leads to the variants of one resource, which its responses' Vary fields tell apart (RFC 9111 §4.1), the one
used last at the end. Resources make room in the order of their last use, and of one resource its variants in theirs.
The budget counts everything that a stored response holds, keys and Python's own objects included, so that the setting
means memory. Written here instead of taken from a library because sizes change: codings are added to a stored
response, and replaced, while it is in use.
"""

from collections import OrderedDict
from collections.abc import Iterator

from thrust.cache.policy import vary_values
from thrust.cache.stored import Key, StoredResponse
from thrust.http.headers import Headers

MAX_VARIANTS = 64
"""Per resource. `Vary: User-Agent` makes one for every browser; the least used goes when there is one too many."""


class Store:
    """All stored responses, `max_bytes` of them at most."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._resources: OrderedDict[Key, list[StoredResponse]] = OrderedDict()
        self.used_bytes = 0

    def find(self, key: Key, request_headers: Headers) -> StoredResponse | None:
        """The stored response for such a request, fresh or not."""
        variants = self._resources.get(key)
        if variants is None:
            return None
        self._resources.move_to_end(key)
        for stored in variants:
            if not stored.vary_names or stored.vary_values == vary_values(stored.vary_names, request_headers):
                if stored is not variants[-1]:
                    variants.remove(stored)
                    variants.append(stored)
                return stored
        return None

    def variant(self, key: Key, request_headers: Headers) -> tuple[bytes | None, ...] | None:
        """What tells the response to such a request from others stored for `key`; None if nothing is stored for it."""
        variants = self._resources.get(key)
        return vary_values(variants[0].vary_names, request_headers) if variants else None

    def add(self, stored: StoredResponse) -> bool:
        """Stores a response in place of the one that answered the same requests; False if it exceeds the budget."""
        for other in list(self._resources.get(stored.key, ())):
            if other.vary_names != stored.vary_names or other.vary_values == stored.vary_values:
                self._discard(other)
        if stored.size_bytes > self.max_bytes:
            return False
        variants = self._resources.setdefault(stored.key, [])
        variants.append(stored)
        self._resources.move_to_end(stored.key)
        self.used_bytes += stored.size_bytes
        if len(variants) > MAX_VARIANTS:
            self._discard(variants[0])
        self._make_room()
        return True

    def resize(self, stored: StoredResponse, before_bytes: int) -> None:
        """`stored` has grown or shrunk from `before_bytes`; it may have been dropped meanwhile."""
        if not self.holds(stored):
            return
        self.used_bytes += stored.size_bytes - before_bytes
        if stored.size_bytes > self.max_bytes:
            self._discard(stored)  # by itself: all others would not make room enough
        self._make_room()

    def holds(self, stored: StoredResponse) -> bool:
        """Whether `stored` is still here."""
        return stored in self._resources.get(stored.key, ())

    def discard(self, stored: StoredResponse) -> None:
        """Forgets `stored` if it is still here, and none of the other variants."""
        if self.holds(stored):
            self._discard(stored)

    def remove(self, key: Key) -> None:
        """Forgets everything stored for `key`."""
        for stored in self._resources.pop(key, ()):
            self.used_bytes -= stored.size_bytes

    def __iter__(self) -> Iterator[StoredResponse]:
        """All of them, the least recently used first."""
        for variants in self._resources.values():
            yield from variants

    def __len__(self) -> int:
        return sum(map(len, self._resources.values()))

    def _discard(self, stored: StoredResponse) -> None:
        variants = self._resources[stored.key]
        variants.remove(stored)
        self.used_bytes -= stored.size_bytes
        if not variants:
            del self._resources[stored.key]

    def _make_room(self) -> None:
        while self.used_bytes > self.max_bytes:
            variants = next(iter(self._resources.values()))
            self._discard(variants[0])

    def __repr__(self) -> str:
        return f"<Store {len(self)} responses, {self.used_bytes} of {self.max_bytes} bytes>"
