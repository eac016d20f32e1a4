"""When a certificate is renewed, and when a failed order may be tried again: decisions without a clock of their own.

`manager` asks with the time of day and acts. Everything is Unix time in seconds, because it has to survive restarts,
and a time of day may jump: nothing here trusts that `now_s` lies after what was noted before.

Renewal follows the CA's wish where it has one (ACME Renewal Information, RFC 9773), else it comes after two thirds of
the lifetime, which is right for certificates of 90, 45 and 6 days alike. A share between 0 and 1 that belongs to the
certificate spreads the renewals of many machines; it is computed, not drawn, so that a restart does not change it.

Named tuples here and in `storage`: a frozen dataclass takes a millisecond to define, and this is loaded at every start.
"""

import hashlib
from typing import NamedTuple

RENEW_AFTER = 2 / 3
"""Of the lifetime; what Let's Encrypt asks for, and what lego and Caddy do."""

SPREAD = 1 / 30
"""Of the lifetime: renewals without a wish of the CA are spread over three days of ninety."""

LAST_CALL = 0.9
"""Of the lifetime. No wish of a CA is obeyed beyond: a tenth is left for orders that fail."""

REFUSED_STEPS_S = (300.0, 3600.0, 2 * 3600.0, 4 * 3600.0, 8 * 3600.0, 12 * 3600.0)
"""Pauses after the first, second, … refusal. Each attempt may fail by two challenges, and Let's Encrypt allows five
failures per name and hour."""

UNREACHED_STEPS_S = (15.0, 30.0, 60.0, 300.0, 900.0, 1800.0)
"""Pauses while the CA is away or broken, which nobody counts against us."""

LEAST_BETWEEN_S = 12 * 3600.0
"""Between an order that went well and the next one, or a third of the lifetime. It only matters while something is odd,
as a clock that is weeks ahead: every new certificate would seem overdue."""

ASK_AGAIN_S = 6 * 3600.0
"""Between two questions for the renewal window, if the CA names no time or refuses to say (RFC 9773 §4.3.3)."""

MAX_RETRY_AFTER_S = 8 * 24 * 3600.0
"""Longest wish of a CA that is believed; its rate limits are weekly at most."""


class Validity(NamedTuple):
    """From when to when a certificate is valid, Unix time."""

    not_before_s: float
    not_after_s: float

    @property
    def lifetime_s(self) -> float:
        return max(0.0, self.not_after_s - self.not_before_s)


class Window(NamedTuple):
    """When the CA suggests to renew (RFC 9773 §4.2), Unix time."""

    start_s: float
    end_s: float


class Trouble(NamedTuple):
    """The last of so many `failures` in a row.

    `is_refusal` tells a CA that said no from one that could not be asked. `retry_after_s` is what it asked for, or 0.
    """

    failures: int
    at_s: float
    sentence: str
    is_refusal: bool
    retry_after_s: float = 0.0

    @property
    def pause_s(self) -> float:
        """How long no further order is tried after this."""
        steps = REFUSED_STEPS_S if self.is_refusal else UNREACHED_STEPS_S
        step_s = steps[min(max(self.failures, 1), len(steps)) - 1]
        return max(step_s, min(self.retry_after_s, MAX_RETRY_AFTER_S))


def renewal_at_s(validity: Validity, window: Window | None, share: float) -> float:
    """When to order the next certificate; in the past if that is overdue. `share` is of [0, 1)."""
    last_call_s = validity.not_before_s + validity.lifetime_s * LAST_CALL
    if window is not None and window.end_s > window.start_s:
        return min(window.start_s + (window.end_s - window.start_s) * share, last_call_s)
    return validity.not_before_s + validity.lifetime_s * (RENEW_AFTER + SPREAD * share)


def due_at_s(validity: Validity, window: Window | None, share: float, *, ordered_at_s: float, now_s: float) -> float:
    """`renewal_at_s`, but not too soon after the last order, which went well at `ordered_at_s` (0: not known)."""
    at_s = renewal_at_s(validity, window, share)
    pause_s = min(LEAST_BETWEEN_S, validity.lifetime_s / 3)
    if at_s <= now_s and abs(now_s - ordered_at_s) < pause_s:
        return ordered_at_s + pause_s
    return at_s


def unanswered_pause_s(count: int, is_refusal: bool, retry_after_s: float) -> float:
    """How long not to ask for the renewal window after `count` failures in a row (RFC 9773 §4.3.3)."""
    step_s = ASK_AGAIN_S if is_refusal else UNREACHED_STEPS_S[min(max(count, 1), len(UNREACHED_STEPS_S)) - 1]
    return max(step_s, min(retry_after_s, MAX_RETRY_AFTER_S))


def share_of(domain: str, validity: Validity) -> float:
    """The certificate's own number of [0, 1), the same after every restart."""
    digest = hashlib.sha256(f"{domain} {validity.not_after_s:.0f}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def next_try_at_s(trouble: Trouble | None, now_s: float) -> float:
    """When an order may be tried: `now_s`, or later while a failure is recent.

    A failure that lies in the future by more than its pause was noted by a clock that has been set back since; it
    says nothing about now.
    """
    if trouble is None or abs(now_s - trouble.at_s) >= trouble.pause_s:
        return now_s
    return trouble.at_s + trouble.pause_s
