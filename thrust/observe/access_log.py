"""One log line per finished exchange, also for one whose request never parsed.

`service` passes an AccessLog to the server as an observer. The JSON line has Thruster's fields in Thruster's
order, so that dashboards made for it go on working, then `host`, `request_id` and, where something failed, `error`.
For a person at a terminal there is a shorter line of text.

Whatever a client sends ends up here, and must neither break a line nor act on a terminal: JSON strings are ASCII
with everything else escaped, text is visible ASCII and `\\xNN`. Of the header fields only User-Agent and Content-Type
are logged: the others hold secrets.

The JSON line is on the path of every request and has a budget of 4 µs, gathering included
(benchmarks/micro/bench_access_log.py, `json line`). That pays for the templates with gaps, the time stamp that is made
once per second, and the remembered user agents.
"""

import re
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii as quote

from thrust.http.exchange import Exchange
from thrust.observe.logs import (
    CYAN,
    DIM,
    GREEN,
    RED,
    YELLOW,
    Log,
    local_time,
    paint,
    printable,
    utc_second,
    without_lone_surrogates,
)

MAX_REMEMBERED_VALUES = 500
"""User agents and templates that are kept; when it is reached we begin anew."""

MAX_REMEMBERED_BYTES = 300
"""Longer values are not kept, so that strangers cannot fill our memory. A browser's user agent has some 120."""

Kind = tuple[int, str, str, str, str, bytes, bytes]
"""What many exchanges have in common: status, method, protocol, the cache's part and why, and both content types."""

_THREE_DIGITS = [f"{number:03d}" for number in range(1000)]
_STATUS_COLOURS = {2: GREEN, 3: CYAN, 4: YELLOW, 5: RED}
_NOT_VISIBLE = re.compile(r"[^!-~]")


class AccessLog:
    """An observer (`thrust.http.exchange`) that writes a line per exchange.

    `excluded` paths are not logged: `/up` stands for itself, `/assets/*` for all that begins with `/assets/`.
    """

    def __init__(self, log: Log, excluded: Iterable[str] = ()) -> None:
        patterns = list(excluded)
        self._excluded_paths = frozenset(pattern for pattern in patterns if not pattern.endswith("*"))
        self._excluded_prefixes = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
        self._write = log.write_line
        self._has_colours = log.has_colours
        self._line = self._text_line if log.is_text else self._json_line
        self._second = -1
        self._second_utc = ""
        self._quoted_values = {b"": '""'}
        self._templates: dict[Kind, str] = {}

    def __call__(self, exchange: Exchange, /) -> None:
        """Logs `exchange`, which is over."""
        if self.covers(exchange.path):
            self._write(self._line(exchange))

    def covers(self, path: str) -> bool:
        """Whether requests for `path` get a line."""
        return path not in self._excluded_paths and not path.startswith(self._excluded_prefixes)

    def _json_line(self, exchange: Exchange) -> str:
        duration_s = exchange.finished_s - exchange.started_s
        finished_at = exchange.started_at + duration_s
        second = int(finished_at)
        if second != self._second:
            self._second = second
            self._second_utc = utc_second(second)
        duration_us = int(duration_s * 1e6)
        quoted_values = self._quoted_values
        request_type = user_agent = response_type = b""
        if exchange.request_headers is not None:
            fields = dict(exchange.request_headers.lines)
            user_agent = fields.get(b"user-agent", b"")
            request_type = fields.get(b"content-type", b"")
        if exchange.response_headers is not None:
            response_type = dict(exchange.response_headers.lines).get(b"content-type", b"")
        kind = (
            exchange.status,
            exchange.method,
            exchange.protocol,
            exchange.cache,
            exchange.cache_detail,
            request_type,
            response_type,
        )
        line = (self._templates.get(kind) or self._template(kind)) % (
            self._second_utc,
            int((finished_at - second) * 1e6),
            quote(exchange.path),
            duration_us // 1000,
            _THREE_DIGITS[duration_us % 1000],
            exchange.request_content_length,
            exchange.body_bytes,
            quote(exchange.remote_address),
            quoted_values.get(user_agent) or self._quote_value(user_agent),
            quote(exchange.query),
            quote(exchange.host),
            quote(exchange.request_id),
        )
        if exchange.error:
            line = f'{line[:-1]},"error":{quote(exchange.error)}}}'
        # A string without a backslash in its JSON, nearly every one, has no surrogates either.
        return without_lone_surrogates(line) if "\\" in line else line

    def _template(self, kind: Kind) -> str:
        """The line of all exchanges of that kind, with gaps for what differs."""
        status, method, protocol, cache, cache_detail, request_type, response_type = kind
        detail = f',"cache_detail":{_quote_with_gaps(cache_detail)}' if cache_detail else ""
        template = (
            f'{{"time":"%s.%06dZ","level":"INFO","msg":"Request","path":%s,"status":{status},"dur":%d.%s'
            f',"method":{_quote_with_gaps(method)}'
            f',"req_content_length":%d,"req_content_type":{_quote_with_gaps(request_type.decode("latin-1"))}'
            f',"resp_content_length":%d,"resp_content_type":{_quote_with_gaps(response_type.decode("latin-1"))}'
            f',"remote_addr":%s,"user_agent":%s,"cache":{_quote_with_gaps(cache)},"query":%s'
            f',"proto":{_quote_with_gaps(protocol)},"host":%s,"request_id":%s{detail}}}'
        )
        if len(request_type) + len(response_type) + len(method) <= MAX_REMEMBERED_BYTES:
            if len(self._templates) >= MAX_REMEMBERED_VALUES:
                self._templates.clear()
            self._templates[kind] = template
        return template

    def _quote_value(self, value: bytes) -> str:
        """`value` as a JSON string, remembered if it is likely to come again."""
        quoted = quote(value.decode("latin-1"))
        if len(value) <= MAX_REMEMBERED_BYTES:
            if len(self._quoted_values) >= MAX_REMEMBERED_VALUES:
                self._quoted_values = {b"": '""'}
            self._quoted_values[value] = quoted
        return quoted

    def _text_line(self, exchange: Exchange) -> str:
        """`12:01:02 GET     /path?x=1                  200    1.2ms   1.0KB 127.0.0.1 …error`."""
        colours = self._has_colours
        duration_s = exchange.finished_s - exchange.started_s
        target = f"{exchange.path}?{exchange.query}" if exchange.query else exchange.path
        columns = [
            paint(local_time(int(exchange.started_at + duration_s)), DIM, colours),
            f"{visible(exchange.method) or '-':<7}",
            f"{visible(target) or '-':<32}",
            paint(f"{exchange.status or '-':>3}", _STATUS_COLOURS.get(exchange.status // 100, RED), colours),
            f"{readable_duration(duration_s):>7}",
            f"{readable_size(exchange.body_bytes):>7}",
            visible(exchange.remote_address),
        ]
        if exchange.error:
            columns.append(paint(printable(exchange.error), RED, colours))
        return " ".join(columns)


def _quote_with_gaps(text: str) -> str:
    """`text` as a JSON string in a template, where `%` begins a gap."""
    return quote(text).replace("%", "%%")


def visible(text: str) -> str:
    """`text` with everything but visible ASCII as `\\xNN`; a space, too, because it would end the column."""
    return _NOT_VISIBLE.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def readable_duration(duration_s: float) -> str:
    """Two or three digits and a unit: 0.3ms, 12ms, 1.50s, 3m05s."""
    milliseconds = duration_s * 1e3
    if milliseconds < 9.95:
        return f"{milliseconds:.1f}ms"
    if milliseconds < 999.5:
        return f"{milliseconds:.0f}ms"
    if duration_s < 59.995:
        return f"{duration_s:.2f}s"
    minutes, seconds = divmod(round(duration_s), 60)
    return f"{minutes}m{seconds:02d}s"


def readable_size(size_bytes: int) -> str:
    """A number with its unit, of which each is 1024 of the one before: 12B, 1.0KB, 3.5MB."""
    if size_bytes < 1024:
        return f"{size_bytes}B"
    size = size_bytes / 1024
    for unit in ("KB", "MB"):
        if size < 1023.95:
            return f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}GB"
