"""A stored response and its renditions: the same content once per content coding (RFC 9111 §3, RFC 9110 §8.4).

The handler makes a StoredResponse from what the worker sent and puts it into the store. The worker's content is one
rendition, plain or coded as it came; others are added when a client first wants them, and replaced when something
smaller has been made. What is sent for a rendition is prepared once a second, because Age counts seconds, and then
serves every client of that second. Nothing here does I/O, compresses, or decides anything about freshness.
"""

from collections.abc import Sequence

from thrust.cache.freshness import Validity
from thrust.http.coded import coded_lines
from thrust.http.headers import FieldLine, Headers
from thrust.http.message import Response
from thrust.http.negotiation import IDENTITY

Key = tuple[bytes, ...]
"""Target, hosts, scheme and port: all that selects a resource; compared in full."""

# What Python's objects around the bytes take. tests/cache/test_memory.py compares it with what is really allocated; a
# process grows by a tenth more, which is in these.
ENTRY_OVERHEAD_BYTES = 1500
"""The stored response, its key, and their places in the store."""

RENDITION_OVERHEAD_BYTES = 1000
"""One rendition, and the response that is prepared for it with its head."""

LINE_OVERHEAD_BYTES = 145
"""A field: a pair and its two bytes objects."""

LINE_IN_RENDITION_BYTES = 20
"""The field in the lists of one rendition and in its prepared head, where its text stands once more."""

MAX_CHOICES = 8
"""Orders of codings whose rendition is remembered, per stored response; browsers and libraries send three or four."""

HIT_LINES = ((b"x-cache", b"hit"),)


class Rendition:
    """Stored content in one coding, and the response that is sent for it."""

    __slots__ = ("_hit", "_hit_from_s", "_hit_until_s", "body", "coding", "lines", "size_bytes")

    def __init__(self, coding: bytes, body: bytes, lines: list[FieldLine]) -> None:
        self.coding = coding
        self.body = body
        self.lines = lines
        """All fields but Age and those that tell how the cache was used."""
        self.size_bytes = RENDITION_OVERHEAD_BYTES + len(body) + _text_bytes(lines, LINE_IN_RENDITION_BYTES)
        """What it takes of the budget, the response prepared for it included."""
        self._hit: Response | None = None
        self._hit_from_s = self._hit_until_s = 0.0

    def prepared_hit(self, now_s: float) -> Response | None:
        """What `hit` made for this second, None if it has not been asked yet: the shortest way (cached-10k)."""
        return self._hit if self._hit_from_s <= now_s < self._hit_until_s else None

    def hit(self, status: int, validity: Validity, now_s: float) -> Response:
        """The response to a fresh hit; the same object for a whole second, so that a server can prepare it once."""
        age_s, ttl_s = validity.age_s(now_s), validity.ttl_s(now_s)
        lines = [*self.lines, (b"age", b"%d" % age_s), *HIT_LINES, (b"cache-status", b"thrust; hit; ttl=%d" % ttl_s)]
        response = Response(status, Headers(lines), self.body, len(self.body))
        response.head_memo = b""
        # Until Age changes; so does freshness, because lifetimes are whole seconds.
        self._hit = response
        self._hit_until_s = validity.received_at_s + age_s + 1 - validity.initial_age_s
        self._hit_from_s = self._hit_until_s - 1
        return response


class StoredResponse:
    """One response of the worker, for one combination of the fields in its Vary.

    `lines` are those of the worker without Age, Vary settled (`accept-encoding` included if we may code it), with a
    Date. `own_coding` is the content coding that the worker applied, identity if none. `makeable` are the codings
    that may be made of it. `is_dynamic` if it is somebody's page, which is sent as it came: whoever codes it on its way
    out takes care against BREACH.
    """

    __slots__ = (
        "__weakref__",
        "_choices",
        "etag",
        "is_dynamic",
        "key",
        "last_modified",
        "lines",
        "makeable",
        "own_coding",
        "renditions",
        "size_bytes",
        "status",
        "unprofitable",
        "validity",
        "vary_names",
        "vary_values",
    )

    def __init__(
        self,
        key: Key,
        status: int,
        lines: list[FieldLine],
        body: bytes,
        validity: Validity,
        *,
        own_coding: bytes = IDENTITY,
        makeable: Sequence[bytes] = (),
        is_dynamic: bool = False,
        vary_names: Sequence[bytes] = (),
        vary_values: Sequence[bytes | None] = (),
    ) -> None:
        self.key = key
        self.status = status
        self.validity = validity
        self.own_coding = own_coding
        self.makeable = tuple(makeable)
        self.is_dynamic = is_dynamic
        self.vary_names = tuple(vary_names)
        self.vary_values = tuple(vary_values)
        self.unprofitable: frozenset[bytes] = frozenset()
        """Codings that would make the content longer."""
        self.renditions: dict[bytes, Rendition] = {}
        self._choices: dict[tuple[bytes, ...], Rendition] = {}
        """What `rendition_for` has answered; a handful of orders of a handful of codings (benchmark cached-10k)."""
        self._describe(lines)
        self.renditions[own_coding] = Rendition(own_coding, body, self.lines)
        self.size_bytes = 0
        self.measure()

    def add(self, coding: bytes, body: bytes) -> Rendition:
        """The content in one more coding, in place of what there was in it."""
        self.renditions[coding] = rendition = Rendition(coding, body, self._lines_in(coding))
        self._choices.clear()
        self.measure()
        return rendition

    def update(self, lines: list[FieldLine], validity: Validity) -> None:
        """The worker has confirmed the content with new fields (RFC 9111 §4.3.4)."""
        self.validity = validity
        self._describe(lines)
        for coding, rendition in list(self.renditions.items()):
            self.renditions[coding] = Rendition(coding, rendition.body, self._lines_in(coding))
        self._choices.clear()
        self.measure()

    def rendition_for(self, accepted: tuple[bytes, ...]) -> Rendition | None:
        """The rendition to send at once to a client that accepts these codings, best first.

        None if it has to be made, and of what is dynamic, because a client may get that in another coding.
        """
        rendition = self._choices.get(accepted)
        if rendition is not None or self.is_dynamic:
            return rendition
        if (rendition := self.renditions.get(self.coding_for(accepted))) is not None:
            if len(self._choices) >= MAX_CHOICES:
                self._choices.clear()
            self._choices[accepted] = rendition
        return rendition

    def coding_for(self, accepted: Sequence[bytes]) -> bytes:
        """The coding to send to such a client: what the worker made, else the best; plain if there is no other way."""
        if self.own_coding in accepted and self.own_coding != IDENTITY:
            return self.own_coding
        for coding in accepted:
            if coding == IDENTITY or (coding in self.makeable and coding not in self.unprofitable):
                return coding
        return IDENTITY

    def is_coded_for(self, accepted: Sequence[bytes]) -> bool:
        """Whether such a client may have got the content in a coding."""
        return any(coding != IDENTITY and coding in (self.own_coding, *self.makeable) for coding in accepted)

    def measure(self) -> None:
        """Counts what all of it takes of the budget."""
        size = ENTRY_OVERHEAD_BYTES + sum(map(len, self.key)) + _text_bytes(self.lines, LINE_OVERHEAD_BYTES)
        for name, value in zip(self.vary_names, self.vary_values, strict=True):
            size += LINE_OVERHEAD_BYTES + len(name) + len(value or b"")
        self.size_bytes = size + sum(rendition.size_bytes for rendition in self.renditions.values())

    def _describe(self, lines: list[FieldLine]) -> None:
        headers = Headers(lines)
        self.lines = lines
        self.etag = headers.get(b"etag")
        self.last_modified = headers.get(b"last-modified")

    def _lines_in(self, coding: bytes) -> list[FieldLine]:
        """The fields of the rendition in `coding`."""
        if coding == self.own_coding:
            return self.lines
        if coding != IDENTITY:
            return coded_lines(self.lines, coding)
        # Decoded for the rare client that takes nothing else: a tag must not stand for two representations.
        etag = None if self.etag is None or self.etag.startswith(b"W/") else b"W/" + self.etag
        lines = [line for line in self.lines if line[0] != b"content-encoding"]
        return lines if etag is None else [(b"etag", etag) if line[0] == b"etag" else line for line in lines]

    def __repr__(self) -> str:
        codings = b", ".join(self.renditions).decode()
        return f"<StoredResponse {self.status} {self.key[0]!r} {codings} {self.size_bytes} bytes>"


def _text_bytes(lines: Sequence[FieldLine], overhead_bytes: int) -> int:
    return sum(overhead_bytes + len(name) + len(value) for name, value in lines)
