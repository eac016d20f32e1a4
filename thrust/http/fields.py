"""Reading and writing field values that several policies share: dates, numbers of seconds, Cache-Control.

Called by `cache/` and by what judges conditional requests. Nothing here raises for what a peer sent: a value that
cannot be read is None, or reads as what is safest, and the caller knows what that means for its field. Values that
come again and again are remembered, in bounded memory. What a directive means is said in `cache/`. Dates: RFC 9110
§5.6.7; Cache-Control: RFC 9111 §5.2; seconds: RFC 9111 §1.2.2.
"""

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from time import gmtime

MAX_SECONDS = 2**31
"""What a larger number of seconds counts as (RFC 9111 §1.2.2): 68 years."""

Directives = Mapping[bytes, bytes | None]
"""Names in lower case, with the argument or None. They may be shared: nobody changes them."""

_REMEMBERED_VALUES = 1024
_LONGEST_REMEMBERED_BYTES = 200

_DAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH_NUMBERS = {month.lower(): number for number, month in enumerate(_MONTHS, 1)}
_DAYS_TO_1970 = date(1970, 1, 1).toordinal()
_LONGEST_DATE_BYTES = 33  # Wednesday, 09-Nov-94 08:49:37 GMT

# Two digits of a year mean the last century from here on. That is RFC 9110's rule, "not more than 50 years ahead", as
# of 2026; later it errs towards the past, which is what has expired.
_FIRST_YEAR_OF_LAST_CENTURY = 77

_DAY = rb"(?:" + rb"|".join(_DAYS) + rb")"
_LONG_DAY = rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_MONTH = rb"(?P<month>" + rb"|".join(_MONTHS) + rb")"
_TIME = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
# Letter case does not count, as RFC 9111 §4.2 asks of caches; a zone other than GMT is no date.
_DATE_FORMATS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        _DAY + rb", (?P<day>[0-9]{2}) " + _MONTH + rb" (?P<year>[0-9]{4}) " + _TIME + rb" GMT",  # IMF-fixdate
        _LONG_DAY + rb", (?P<day>[0-9]{2})-" + _MONTH + rb"-(?P<year>[0-9]{2}) " + _TIME + rb" GMT",  # RFC 850
        _DAY + rb" " + _MONTH + rb" (?P<day>[0-9]{2}| [0-9]) " + _TIME + rb" (?P<year>[0-9]{4})",  # asctime
    )
]

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]"  # RFC 9110 §5.6.2
_DIRECTIVE = re.compile(
    rb"(?:\A|,)[\t ]*+"
    rb"(?P<name>" + _TOKEN + rb"++)"
    rb"(?:=(?:(?P<token>" + _TOKEN + rb'++)|"(?P<quoted>(?:[^"\\]|\\.)*+)"))?+'
    rb"[\t ]*+(?P<junk>[^,]*+)"
)
_QUOTED_PAIR = re.compile(rb"\\(.)")

# Which of two arguments of one directive restricts more.
_QUALIFIABLE = frozenset({b"no-cache", b"private"})
_SMALLER_IS_STRICTER = frozenset({b"max-age", b"s-maxage", b"max-stale", b"stale-if-error", b"stale-while-revalidate"})
_LARGER_IS_STRICTER = frozenset({b"min-fresh"})


def parse_date(value: bytes) -> int | None:
    """The Unix time that an HTTP-date names, None if `value` is in none of the three formats.

    Neither local time nor the name of the weekday has an influence. A second of 60 is the one after it.
    """
    return _parse_date(value) if len(value) <= _LONGEST_DATE_BYTES else None


@lru_cache(maxsize=_REMEMBERED_VALUES)
def _parse_date(value: bytes) -> int | None:
    for pattern in _DATE_FORMATS:
        if match := pattern.fullmatch(value):
            return _unix_time(match)
    return None


def _unix_time(match: re.Match[bytes]) -> int | None:
    year, hour, minute, second = (int(match[name]) for name in ("year", "hour", "minute", "second"))
    if hour > 23 or minute > 59 or second > 60:
        return None
    if len(match["year"]) == 2:
        year += 1900 if year >= _FIRST_YEAR_OF_LAST_CENTURY else 2000
    try:
        days = date(year, _MONTH_NUMBERS[match["month"].lower()], int(match["day"])).toordinal() - _DAYS_TO_1970
    except ValueError:
        return None
    return days * 86400 + hour * 3600 + minute * 60 + second


def format_date(seconds: float) -> bytes:
    """The HTTP-date (IMF-fixdate) of a Unix time, cut to whole seconds."""
    return _format_date(int(seconds // 1))


@lru_cache(maxsize=128)
def _format_date(seconds: int) -> bytes:
    year, month, day, hour, minute, second, weekday, *_ = gmtime(seconds)
    return b"%b, %02d %b %04d %02d:%02d:%02d GMT" % (
        _DAYS[weekday],
        day,
        _MONTHS[month - 1],
        year,
        hour,
        minute,
        second,
    )


def delta_seconds(argument: bytes | None) -> int | None:
    """The number of seconds in `argument`, MAX_SECONDS if it is larger; None for anything but decimal digits.

    `cache_control` has taken the quotes off a quoted argument.
    """
    if argument is None or not argument.isdigit():
        return None
    digits = argument.lstrip(b"0")
    return min(int(digits or b"0"), MAX_SECONDS) if len(digits) <= 10 else MAX_SECONDS


def cache_control(values: list[bytes]) -> Directives:
    """The directives of the Cache-Control lines `values`, known or not, arguments without their quotes.

    Of a directive that comes twice the more restrictive occurrence counts: the shorter lifetime, and one that cannot be
    read before any other; `private` before `private="x"`, while the names in two such lists are joined with a comma.
    Where something follows that does not belong there (`no-store; x`, `max-age = 60`), the name counts and the rest is
    its argument, as it came: a slip of the pen costs no prohibition, and lends no lifetime. What does not even begin
    with a name is skipped.
    """
    if len(values) == 1:
        return _directives(values[0])
    merged: dict[bytes, bytes | None] = {}
    for value in values:
        for name, argument in _directives(value).items():
            merged[name] = _stricter(name, merged[name], argument) if name in merged else argument
    return merged


def _directives(value: bytes) -> Directives:
    return _remembered_directives(value) if len(value) <= _LONGEST_REMEMBERED_BYTES else _read_directives(value)


def _read_directives(value: bytes) -> Directives:
    directives: dict[bytes, bytes | None] = {}
    for match in _DIRECTIVE.finditer(value):
        name, argument = match["name"].lower(), _argument(match)
        directives[name] = _stricter(name, directives[name], argument) if name in directives else argument
    return directives


_remembered_directives = lru_cache(maxsize=_REMEMBERED_VALUES)(_read_directives)


def _argument(match: re.Match[bytes]) -> bytes | None:
    if match["junk"]:
        return match.string[match.end("name") : match.end()].strip(b"\t ")
    if match["quoted"] is not None:
        return _QUOTED_PAIR.sub(rb"\1", match["quoted"])
    return match["token"]


def _stricter(name: bytes, first: bytes | None, second: bytes | None) -> bytes | None:
    if name in _QUALIFIABLE:
        return None if first is None or second is None else first + b"," + second
    if name in _SMALLER_IS_STRICTER:
        return min(first, second, key=lambda argument: _seconds(name, argument, unreadable_s=-1))
    if name in _LARGER_IS_STRICTER:
        return max(first, second, key=lambda argument: _seconds(name, argument, unreadable_s=MAX_SECONDS))
    return first


def _seconds(name: bytes, argument: bytes | None, unreadable_s: int) -> int:
    if argument is None and name == b"max-stale":
        return MAX_SECONDS + 1  # however stale (RFC 9111 §5.2.1.2)
    seconds = delta_seconds(argument)
    return unreadable_s if seconds is None else seconds
