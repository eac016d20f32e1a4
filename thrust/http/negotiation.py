"""Which content codings a client accepts, best first (Accept-Encoding, RFC 9110 §12.5.3).

Called for each answer that may be coded: cache hits, compressed responses, files. The same few values come again and
again, so an answer is remembered and costs one look-up; only a value that was not seen before is parsed. Which codings
there are, and whether a response is worth coding at all, is for the callers to know.
"""

import re

IDENTITY = b"identity"

MAX_REMEMBERED = 512
"""Values kept at a time; browsers and libraries together send a few dozen."""

MAX_REMEMBERED_BYTES = 200
"""A longer value is no browser's, and is parsed each time: what is remembered stays below half a megabyte."""

# §12.4.2: at most three decimals. What does not match, as `gzip;q=2` or `gzip;level=9`, is no member.
_MEMBER = re.compile(
    rb"[ \t]*+([!#$%&'*+.^_`|~0-9a-z-]++)(?:[ \t]*+;[ \t]*+q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?+[ \t]*+"
)
_X_GZIP = b"x-gzip"  # the same as gzip, §8.4.1.3

_remembered: dict[tuple[bytes, tuple[bytes, ...]], tuple[bytes, ...]] = {}


def accepted_codings(values: list[bytes], offered: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Those of `offered` and identity that a client accepts, the best first; () if it accepts none of them.

    `values` are those of all Accept-Encoding lines. The client's weights decide, between equal ones the order of
    `offered` (lower case, without identity), and identity comes last: it is what one falls back to. Without the field
    only identity is accepted, although the RFC would allow anything: such a client hardly decodes.
    """
    if not values:
        return (IDENTITY,)
    value = values[0] if len(values) == 1 else b",".join(values)
    codings = _remembered.get((value, offered))
    if codings is not None:
        return codings
    codings = _ranked(_weights(value), offered)
    if len(value) <= MAX_REMEMBERED_BYTES:
        if len(_remembered) >= MAX_REMEMBERED:
            _remembered.clear()
        _remembered[value, offered] = codings
    return codings


def _weights(value: bytes) -> dict[bytes, float]:
    """Coding → weight; of two weights for one coding the lower, so that a refusal stands."""
    weights: dict[bytes, float] = {}
    for item in value.lower().split(b","):
        if match := _MEMBER.fullmatch(item):
            coding = b"gzip" if match[1] == _X_GZIP else match[1]
            weights[coding] = min(float(match[2] or 1), weights.get(coding, 1.0))
    return weights


def _ranked(weights: dict[bytes, float], offered: tuple[bytes, ...]) -> tuple[bytes, ...]:
    others = weights.get(b"*")
    # Identity is acceptable as long as nothing excludes it, and then ranks below everything that was asked for.
    least = 0.0005 if others is None else others
    wanted = {coding: weights.get(coding, others or 0.0) for coding in offered}
    wanted[IDENTITY] = weights.get(IDENTITY, least)
    return tuple(sorted((coding for coding in wanted if wanted[coding] > 0), key=lambda coding: -wanted[coding]))
