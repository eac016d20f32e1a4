"""The budget means memory: what the store counts is what Python allocates, and it stays so whatever happens to it."""

import gc
import random
import tracemalloc
from collections.abc import Callable

import pytest

from thrust.cache.freshness import Validity, stored_validity
from thrust.cache.store import Store
from thrust.cache.stored import StoredResponse
from thrust.http.headers import FieldLine, Headers
from thrust.wire.http1.writing import field_lines, status_line

TOLERANCE = 0.15
ENTRIES = 150
PLAIN = Headers()


def own(value: bytes) -> bytes:
    """A copy: what a parser cuts out of a head shares memory with nothing else."""
    return bytes(bytearray(value))


def asset(
    number: int, *, more_fields: int = 4, body_bytes: int = 1000, codings: tuple[bytes, ...] = ()
) -> StoredResponse:
    """A stored response as a worker's answer makes it."""
    lines = [
        (b"content-type", b"application/javascript; charset=utf-8"),
        (b"cache-control", b"public, max-age=31536000, immutable"),
        (b"date", b"Mon, 23 Nov 2026 08:50:00 GMT"),
        (b"etag", b'"3f9a2c1b7d-%d"' % number),
        (b"last-modified", b"Sun, 22 Nov 2026 10:11:12 GMT"),
        (b"vary", b"accept-encoding"),
        *((b"x-field-%d" % field, b"value of a middling length") for field in range(more_fields)),
    ]
    stored = StoredResponse(
        (b"/assets/app-%08d.js" % number, own(b"example.org"), own(b"https"), own(b"example.org"), own(b"443")),
        200,
        [(own(name), own(value)) for name, value in lines],
        bytes(body_bytes),
        validity(number),
        makeable=codings,
    )
    for coding in codings:
        stored.add(coding, bytes(body_bytes // 4))
    return stored


def validity(number: int) -> Validity:
    lines: list[FieldLine] = [(b"cache-control", b"max-age=31536000")]
    return stored_validity(
        200, Headers(lines), requested_at_s=number + 0.25, received_at_s=number + 0.5, is_fingerprinted=False
    )


def use(stored: StoredResponse) -> None:
    """A hit on each rendition, over HTTP/1, so that all is prepared that will ever be."""
    for coding, rendition in stored.renditions.items():
        assert stored.rendition_for((coding, b"identity")) is rendition
        response = rendition.hit(200, stored.validity, stored.validity.received_at_s + 1000)
        response.head_memo = status_line(200) + field_lines(response.headers.lines) + b"content-length: 12345\r\n"


def allocated_by(make: Callable[[], object]) -> int:
    """Bytes that are allocated for what `make` returns."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = make()
        gc.collect()
        held_bytes = tracemalloc.get_traced_memory()[0]
        del kept
    finally:
        tracemalloc.stop()
    return held_bytes


@pytest.mark.parametrize(
    ("more_fields", "body_bytes", "codings"),
    [
        (0, 0, ()),
        (4, 1000, ()),
        (4, 1000, (b"br",)),
        (4, 20_000, (b"br", b"zstd", b"gzip")),
        (20, 1000, (b"br", b"gzip")),
    ],
)
def test_what_the_store_counts_is_what_it_holds(more_fields: int, body_bytes: int, codings: tuple[bytes, ...]) -> None:
    store = Store(1 << 30)

    def fill() -> Store:
        for number in range(ENTRIES):
            stored = asset(number, more_fields=more_fields, body_bytes=body_bytes, codings=codings)
            store.add(stored)
            use(stored)
        return store

    allocated_bytes = allocated_by(fill)
    assert store.used_bytes == pytest.approx(allocated_bytes, rel=TOLERANCE)


def test_what_tells_variants_apart_is_counted_too() -> None:
    store = Store(1 << 30)

    def fill() -> Store:
        for number in range(ENTRIES):
            stored = StoredResponse(
                (b"/%d" % number, own(b"example.org"), own(b"http")),
                200,
                [(own(b"vary"), own(b"accept-language, x-device"))],
                b"%d" % number,
                validity(number),
                vary_names=(own(b"accept-language"), own(b"x-device")),
                vary_values=(b"language-%d" % number, b"device-%d" % number),
            )
            store.add(stored)
            use(stored)
        return store

    allocated_bytes = allocated_by(fill)
    assert store.used_bytes == pytest.approx(allocated_bytes, rel=TOLERANCE)
    assert len(store) == ENTRIES


# Whatever happens

BUDGET_BYTES = 400_000
KEYS = 400
CHECKED_EVERY = 10_000


class Churn:
    """A store to which random things happen, and an oracle that knows in which order its keys were used.

    The oracle takes the store's word for how many had to go, but not for which ones.
    """

    def __init__(self, seed: int) -> None:
        self.store = Store(BUDGET_BYTES)
        self._chance = random.Random(seed)
        self._used: dict[bytes, None] = {}
        self._lines: list[FieldLine] = [(b"content-type", b"text/css"), (b"etag", b'"1"')]
        self._validity = validity(0)

    def go_on(self, operations: int) -> None:
        """Every promise is checked after each operation, those that take long after some."""
        chance = self._chance.random
        for number in range(operations):
            target = b"/%d" % (KEYS * chance() * chance())
            kind = chance()
            if kind < 0.5:
                self._find(target)
            elif kind < 0.8:
                self._add(target)
            elif kind < 0.98:
                self._grow_or_shrink(target)
            else:
                self.store.remove((target,))
                self._used.pop(target, None)
            assert 0 <= self.store.used_bytes <= BUDGET_BYTES
            if number % CHECKED_EVERY == 0:
                self.check()

    def check(self) -> None:
        assert self.store.used_bytes == sum(stored.size_bytes for stored in self.store)
        assert [stored.key[0] for stored in self.store] == list(self._used)

    def _find(self, target: bytes) -> StoredResponse | None:
        found = self.store.find((target,), PLAIN)
        assert (found is not None) == (target in self._used)
        if found is not None:
            self._touch(target)
        return found

    def _add(self, target: bytes) -> None:
        assert self.store.add(StoredResponse((target,), 200, self._lines, self._body(), self._validity))
        self._touch(target)
        self._forget_the_oldest()

    def _grow_or_shrink(self, target: bytes) -> None:
        stored = self._find(target)
        if stored is not None:
            before_bytes = stored.size_bytes
            stored.add(self._chance.choice((b"br", b"gzip")), self._body())
            self.store.resize(stored, before_bytes)
            self._forget_the_oldest()

    def _body(self) -> bytes:
        return bytes(self._chance.choice((0, 10, 500, 3000, 30_000)))

    def _touch(self, target: bytes) -> None:
        self._used.pop(target, None)
        self._used[target] = None

    def _forget_the_oldest(self) -> None:
        for _ in range(len(self._used) - len(self.store)):
            del self._used[next(iter(self._used))]


def test_order_and_budget_hold_in_some_thousand_random_operations() -> None:
    churn = Churn(1)
    churn.go_on(5000)
    churn.check()
    assert len(churn.store) > 20


@pytest.mark.slow
def test_order_budget_and_memory_hold_in_a_million_random_operations() -> None:
    churn = Churn(2)

    def everything() -> Store:
        churn.go_on(20_000)
        return churn.store

    churn.go_on(980_000)
    allocated_bytes = allocated_by(everything)  # by then next to nothing is older
    assert allocated_bytes < churn.store.used_bytes * (1 + TOLERANCE)
    churn.check()
