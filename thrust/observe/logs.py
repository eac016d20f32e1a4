"""What the program says on stdout: events, one line each, and the access log's lines between them.

`service` makes the Log, hands it to everyone who has something to say, starts it with the event loop and closes it
last; how lines get out is `line_writer`'s business. A line is JSON in the shape that Go's slog prints (and with it
Thruster), or text for a person at a terminal.

Not here: what an access line says (`access_log`), and the worker's output, which goes to the same stdout untouched.
"""

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Literal

from thrust.observe.line_writer import GATHER_S, LineWriter

LogFormat = Literal["auto", "json", "text"]

RED, GREEN, YELLOW, CYAN, DIM = "31", "32", "33", "36", "2"
_LEVEL_COLOURS = {"DEBUG": DIM, "WARN": YELLOW, "ERROR": RED}

_ESCAPED_SURROGATES = re.compile(r"\\\\|\\ud[89ab]..\\ud[c-f]..|\\ud[89a-f]..")
_NEEDS_QUOTES = re.compile(r'[\s"=]|^$')


class Log:
    """Events by level, and ready-made lines, to one file descriptor. Usable from any thread.

    `auto` is text on a terminal, where lines appear at once, and JSON anywhere else.
    """

    def __init__(
        self,
        fd: int = 1,
        log_format: LogFormat = "auto",
        *,
        is_debug: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        is_terminal = os.isatty(fd)
        self.is_text = log_format == "text" or (log_format == "auto" and is_terminal)
        self.has_colours = self.is_text and is_terminal and _allows_colours(environ)
        self.is_debug = is_debug
        self._writer = LineWriter(fd, self._loss, gather_s=0.0 if is_terminal else GATHER_S)
        self.write_line: Callable[[str], None] = self._writer.write_or_lose
        """Writes a line of the access log, given without its newline; it may be lost, and is counted then."""

    def debug(self, message: str, /, **fields: object) -> None:
        """Logs what only a search for a fault needs. May be lost like access lines."""
        if self.is_debug:
            self._writer.write_or_lose(self._event("DEBUG", message, fields))

    def info(self, message: str, /, **fields: object) -> None:
        """Logs what an operator wants to see of a healthy program."""
        self._writer.write(self._event("INFO", message, fields))

    def warning(self, message: str, /, **fields: object) -> None:
        """Logs what works, but not as somebody intended."""
        self._writer.write(self._event("WARN", message, fields))

    def error(self, message: str, /, **fields: object) -> None:
        """Logs what failed."""
        self._writer.write(self._event("ERROR", message, fields))

    def start(self) -> None:
        """From now on lines are gathered and written by a thread, so that no call waits for stdout."""
        self._writer.start()

    def close(self, timeout_s: float) -> bool:
        """Writes out what was gathered; what is logged later is written directly.

        False if stdout took it not within `timeout_s`; then it is given up, with all that is logged later.
        """
        return self._writer.close(timeout_s)

    def _event(self, level: str, message: str, fields: Mapping[str, object]) -> str:
        if self.is_text:
            return text_event(time.time(), level, message, fields, has_colours=self.has_colours)
        return json_event(time.time(), level, message, fields)

    def _loss(self, lines: int) -> str:
        return self._event("WARN", "Log lines lost: stdout is read too slowly", {"lines": lines})

    def __repr__(self) -> str:
        return f"<Log {'text' if self.is_text else 'json'} {self._writer!r}>"


def json_event(at_s: float, level: str, message: str, fields: Mapping[str, object]) -> str:
    """One line of JSON about something that happened `at_s` (Unix time)."""
    second = int(at_s)
    members = "".join(f",{json_string(name)}:{_json_value(value)}" for name, value in fields.items())
    return (
        f'{{"time":"{utc_second(second)}.{int((at_s - second) * 1e6):06d}Z","level":"{level}"'
        f',"msg":{json_string(message)}{members}}}'
    )


def text_event(
    at_s: float, level: str, message: str, fields: Mapping[str, object], *, has_colours: bool = False
) -> str:
    """One line for a person: time of day, level, message, key=value.

    A value of several lines (a traceback) is set below, indented, so that nothing in it can pass for a log line.
    """
    time_of_day = paint(local_time(int(at_s)), DIM, has_colours)
    padded_level = paint(f"{level:<7}", _LEVEL_COLOURS.get(level, ""), has_colours)
    texts = {name: _text_value(value) for name, value in fields.items()}
    pairs = "".join(f"  {name}={_quoted(text)}" for name, text in texts.items() if "\n" not in text)
    blocks = [line for text in texts.values() if "\n" in text for line in text.splitlines()]
    below = "".join(f"\n    {printable(line)}" for line in blocks)
    return f"{time_of_day} {padded_level} {printable(message)}{pairs}{below}"


def utc_second(second: int) -> str:
    """`second` (Unix time) as RFC 3339 writes it, without fraction and zone: 2026-11-23T05:01:02."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def local_time(second: int) -> str:
    """The time of day where the program runs at `second` (Unix time): 05:01:02."""
    return time.strftime("%H:%M:%S", time.localtime(second))


def json_string(text: str) -> str:
    """`text` as a JSON string in ASCII."""
    return without_lone_surrogates(encode_basestring_ascii(text))


def without_lone_surrogates(encoded: str) -> str:
    """JSON in ASCII, with U+FFFD in place of each half of a surrogate pair.

    RFC 8259 §8.2 does not say what becomes of those, and many readers refuse the whole line.
    """
    if "\\ud" not in encoded:
        return encoded
    return _ESCAPED_SURROGATES.sub(lambda found: "\\ufffd" if len(found[0]) == 6 else found[0], encoded)


def printable(text: str) -> str:
    """`text` with everything that a terminal might act on, or hide, written as `\\xNN` and the like."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def paint(text: str, colour: str, has_colours: bool) -> str:
    """`text` in `colour` on a terminal that shows it; as it is anywhere else."""
    return f"\x1b[{colour}m{text}\x1b[0m" if has_colours and colour else text


def _json_value(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    try:
        encoded = json.dumps(value, default=str, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):  # odd keys, cycles, infinities: no JSON for them, but logging never fails
        return json_string(repr(value))
    return without_lone_surrogates(encoded)


def _text_value(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _quoted(text: str) -> str:
    if not _NEEDS_QUOTES.search(text):
        return printable(text)
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _allows_colours(environ: Mapping[str, str]) -> bool:
    """Whether nobody asked for plain text: NO_COLOR counts with any value but the empty one (no-color.org)."""
    return not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
