"""Log: the shape of events as JSON and as text, and which of the two is chosen."""

import json
import re
import time
from datetime import datetime
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.observe import logs
from thrust.observe.logs import Log, json_event, printable, text_event

AT_S = 1795410062.1234562
"""2026-11-23T05:01:02.123456Z"""

any_text = st.text(st.characters(codec=None, categories=None))
"""With everything that a str may hold: control characters, surrogates, what is not assigned."""


# JSON


def test_an_event_has_the_shape_that_slog_prints():
    assert json_event(AT_S, "INFO", "Server started", {"http": ":3000", "tls": False, "pid": 12, "ratio": 0.5}) == (
        '{"time":"2026-11-23T05:01:02.123456Z","level":"INFO","msg":"Server started",'
        '"http":":3000","tls":false,"pid":12,"ratio":0.5}'
    )


@pytest.mark.parametrize("at_s", [0.0, 1.0, 1795410062.9999998, 1795410062.0000001])
def test_the_fraction_of_a_second_always_has_six_digits(at_s):
    assert re.fullmatch(r"[-\d]{10}T[:\d]{8}\.\d{6}Z", json.loads(json_event(at_s, "INFO", "", {}))["time"])


@pytest.mark.parametrize(
    ("value", "logged"),
    [
        (None, None),
        (["python", "-m", "app"], ["python", "-m", "app"]),
        (b"caf\xe9", "café"),
        (PurePosixPath("/srv"), "/srv"),
        (ValueError("no good"), "no good"),
        ({"path": PurePosixPath("/srv")}, {"path": "/srv"}),
        (float("inf"), "inf"),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_any_value_can_be_logged(value, logged):
    assert json.loads(json_event(AT_S, "INFO", "", {"value": value}))["value"] == logged


def test_a_value_that_contains_itself_can_be_logged():
    value: list[object] = []
    value.append(value)
    assert json.loads(json_event(AT_S, "INFO", "", {"value": value}))["value"] == "[[...]]"


@given(any_text, any_text)
def test_an_event_is_one_line_of_ascii_json_whatever_it_says(message, value):
    line = json_event(AT_S, "INFO", message, {"value": value, "list": [value]})
    assert re.fullmatch(r"[ -~]+", line)
    event = json.loads(line)
    assert event["msg"] == as_utf8(message)
    assert event["value"] == as_utf8(value)
    assert event["list"] == [as_utf8(value)]


def as_utf8(text: str) -> str:
    """`text` with U+FFFD for what no encoding of Unicode can carry."""
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


def test_a_backslash_before_what_looks_like_a_surrogate_stays():
    assert json.loads(json_event(AT_S, "INFO", "\\ud800 \ud800 \U0001f600", {}))["msg"] == "\\ud800 \ufffd \U0001f600"


# Text


def test_an_event_as_text_is_aligned_with_its_fields_behind(utc):
    assert text_event(AT_S, "WARN", "No effect yet", {"variable": "HTTPS_PORT", "value": "a b", "none": ""}) == (
        '05:01:02 WARN    No effect yet  variable=HTTPS_PORT  value="a b"  none=""'
    )


def test_a_quoted_value_cannot_end_its_quotes():
    assert text_event(AT_S, "INFO", "m", {"a": 'x" b="y\\'}).endswith(r' a="x\" b=\"y\\"')


def test_a_traceback_is_shown_below_and_indented(utc):
    line = text_event(AT_S, "ERROR", "Handler failed", {"traceback": "File x\n  raise\n", "path": "/"})
    assert line == "05:01:02 ERROR   Handler failed  path=/\n    File x\n      raise"


@given(any_text, any_text)
def test_nothing_acts_on_the_terminal_nor_passes_for_a_line_of_the_log(message, value):
    first, *others = text_event(AT_S, "INFO", message, {"value": value}).split("\n")
    assert first.isprintable()
    for line in others:
        assert line.isprintable()
        assert line.startswith("    ")


def test_what_is_not_printable_is_shown_escaped():
    assert printable("a\x1b[31m\x07\x7f\x9b\u202eé\U000e0001") == r"a\x1b[31m\x07\x7f\x9b\u202eé\U000e0001"


# The log


def test_each_level_has_its_name(pipe):
    log = Log(pipe.write_end, is_debug=True)
    log.debug("one", number=1)
    log.info("two", message="a field may be called anything")
    log.warning("three")
    log.error("four")
    events = [json.loads(line) for line in pipe.all_lines()]
    assert [event["level"] for event in events] == ["DEBUG", "INFO", "WARN", "ERROR"]
    assert [event["msg"] for event in events] == ["one", "two", "three", "four"]
    assert events[0]["number"] == 1
    assert events[1]["message"] == "a field may be called anything"


def test_the_time_is_now(pipe):
    Log(pipe.write_end).info("now")
    [line] = pipe.all_lines()
    at = datetime.fromisoformat(json.loads(line)["time"])
    assert abs(time.time() - at.timestamp()) < 60


def test_debug_says_nothing_unless_asked_to(pipe):
    Log(pipe.write_end).debug("hidden")
    assert pipe.all_lines() == []


def test_events_and_access_lines_keep_their_order(pipe):
    log = Log(pipe.write_end, "text")
    log.start()
    log.write_line("before")
    log.info("between")
    log.write_line("after")
    assert log.close(20)
    assert [line.split()[-1] for line in pipe.all_lines()] == ["before", "between", "after"]


def test_what_was_lost_is_said_in_the_log_itself(pipe):
    log = Log(pipe.write_end)
    pipe.fill()
    log.start()
    while not log._writer._lost_lines:
        log.write_line('"' + "x" * 100_000 + '"')
    pipe.start_reading()
    assert log.close(20)
    event = json.loads(pipe.all_lines()[-1])
    assert (event["level"], event["lines"]) == ("WARN", 1)


@pytest.mark.parametrize(("log_format", "is_text"), [("auto", False), ("json", False), ("text", True)])
def test_a_pipe_gets_json_unless_text_is_wanted_and_never_colours(pipe, log_format, is_text):
    log = Log(pipe.write_end, log_format, environ={"TERM": "xterm"})
    assert log.is_text == is_text
    log.error("failed")
    [line] = pipe.all_lines()
    assert line.startswith("{") != is_text
    assert "\x1b" not in line


def test_a_terminal_gets_text_in_colours_at_once(terminal, monkeypatch):
    monkeypatch.setattr(logs, "GATHER_S", 10_000)
    log = Log(terminal.stdout, environ={"TERM": "xterm"})
    log.start()
    log.error("failed")
    assert "\x1b[31mERROR  \x1b[0m failed" in terminal.seen()
    assert log.close(20)


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1", "TERM": "xterm"}, {"TERM": "dumb"}])
def test_a_terminal_gets_no_colours_where_they_are_not_wanted(terminal, environ):
    Log(terminal.stdout, environ=environ).error("failed")
    assert re.fullmatch(r"\d\d:\d\d:\d\d ERROR   failed\r\n", terminal.seen())


def test_a_terminal_gets_json_if_it_is_wanted(terminal):
    Log(terminal.stdout, "json", environ={"TERM": "xterm"}).error("failed")
    assert json.loads(terminal.seen())["msg"] == "failed"


def test_its_repr_tells_format_and_state(pipe):
    assert repr(Log(pipe.write_end)) == "<Log json <LineWriter direct, 0 bytes waiting, 0 lines lost>>"
