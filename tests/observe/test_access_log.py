"""AccessLog: what the line of an exchange says, and that no client can make it say anything else."""

import json
import re
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.http.exchange import Exchange, Observer
from thrust.http.headers import Headers
from thrust.observe.access_log import (
    MAX_REMEMBERED_BYTES,
    MAX_REMEMBERED_VALUES,
    AccessLog,
    readable_duration,
    readable_size,
)
from thrust.observe.logs import Log, LogFormat

AT_S = 1795410062.125
"""2026-11-23T05:01:02.125000Z"""

any_text = st.text(st.characters(codec=None, categories=None))


def make_exchange(**changes) -> Exchange:
    """A POST that went well, 12.346 ms after it began at AT_S."""
    exchange = Exchange("127.0.0.1", AT_S, 50.0)
    exchange.finished_s = 50.0123461
    exchange.remote_address = "203.0.113.7"
    exchange.method = "POST"
    exchange.path = "/messages"
    exchange.query = "page=2"
    exchange.host = "app.example.com"
    exchange.protocol = "HTTP/1.1"
    exchange.request_id = "0b1c"
    exchange.request_headers = Headers(
        [
            (b"host", b"app.example.com"),
            (b"authorization", b"Bearer s3cret"),
            (b"cookie", b"session=s3cret"),
            (b"user-agent", b"curl/8.5"),
            (b"content-type", b"application/json"),
        ]
    )
    exchange.request_content_length = 15
    exchange.response_headers = Headers(
        [(b"set-cookie", b"session=s3cret"), (b"content-type", b"text/html; charset=utf-8")]
    )
    exchange.status = 201
    exchange.body_bytes = 2048
    exchange.cache = "miss"
    for name, value in changes.items():
        setattr(exchange, name, value)
    return exchange


def logged(*exchanges: Exchange, log_format: LogFormat = "json", excluded=()) -> list[str]:
    """The lines that `exchanges` leave on stdout."""
    with tempfile.TemporaryFile() as stdout:
        observe: Observer = AccessLog(Log(stdout.fileno(), log_format), excluded)
        for exchange in exchanges:
            observe(exchange)
        stdout.seek(0)
        return stdout.read().decode().split("\n")[:-1]


# JSON


def test_a_line_has_thrusters_fields_in_its_order_and_then_ours():
    assert logged(make_exchange(error="worker closed the connection")) == [
        '{"time":"2026-11-23T05:01:02.137346Z","level":"INFO","msg":"Request","path":"/messages","status":201'
        ',"dur":12.346,"method":"POST","req_content_length":15,"req_content_type":"application/json"'
        ',"resp_content_length":2048,"resp_content_type":"text/html; charset=utf-8","remote_addr":"203.0.113.7"'
        ',"user_agent":"curl/8.5","cache":"miss","query":"page=2","proto":"HTTP/1.1","host":"app.example.com"'
        ',"request_id":"0b1c","error":"worker closed the connection"}'
    ]


def test_error_is_there_only_if_there_was_one():
    [line] = logged(make_exchange())
    assert "error" not in json.loads(line)


def test_a_request_that_never_parsed_has_empty_strings():
    [line] = logged(Exchange("198.51.100.1", AT_S, 50.0))
    assert json.loads(line) == {
        "time": "2026-11-23T05:01:02.125000Z",
        "level": "INFO",
        "msg": "Request",
        "path": "",
        "status": 0,
        "dur": 0,
        "method": "",
        "req_content_length": 0,
        "req_content_type": "",
        "resp_content_length": 0,
        "resp_content_type": "",
        "remote_addr": "198.51.100.1",
        "user_agent": "",
        "cache": "",
        "query": "",
        "proto": "",
        "host": "",
        "request_id": "",
    }


@pytest.mark.parametrize(
    ("duration_s", "dur"),
    [(0, "0.000"), (0.0000015, "0.001"), (0.0012, "1.200"), (0.9999999, "999.999"), (300.5, "300500.000")],
)
def test_the_duration_is_in_milliseconds_with_three_decimals(duration_s, dur):
    [line] = logged(make_exchange(started_s=0.0, finished_s=duration_s))
    assert f',"dur":{dur},' in line


def test_each_second_has_its_own_time_stamp():
    lines = logged(*(make_exchange(started_at=AT_S + later_s) for later_s in (0, 0.5, 1, 61, 0)))
    assert [json.loads(line)["time"][11:19] for line in lines] == [
        "05:01:02",
        "05:01:02",
        "05:01:03",
        "05:02:03",
        "05:01:02",
    ]


def test_secrets_in_header_fields_are_not_logged():
    for log_format in ("json", "text"):
        [line] = logged(make_exchange(), log_format=log_format)
        assert "s3cret" not in line


@given(any_text, st.binary())
def test_whatever_a_client_sends_is_one_line_of_json_with_these_fields(text, value):
    names = ["path", "query", "host", "method", "protocol", "request_id", "remote_address", "cache", "error"]
    exchange = make_exchange(
        **dict.fromkeys(names, text),
        request_headers=Headers([(b"user-agent", value), (b"content-type", value)]),
        response_headers=Headers([(b"content-type", value)]),
    )
    [line] = logged(exchange)
    entry = json.loads(line)
    expected = "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)
    fields = ["path", "query", "host", "method", "proto", "request_id", "remote_addr", "cache"]
    assert {entry[name] for name in fields} == {expected}
    assert entry.get("error", "") == expected
    fields = ["user_agent", "req_content_type", "resp_content_type"]
    assert {entry[name] for name in fields} == {value.decode("latin-1")}
    assert re.fullmatch(r"[ -~]+", line)


def test_values_are_right_however_many_there_were_before():
    agents = [b"agent/%d" % (number % 1500) for number in range(3000)]
    agents += [b"x" * (MAX_REMEMBERED_BYTES + number) for number in range(5)]
    lines = logged(*(make_exchange(request_headers=Headers([(b"user-agent", agent)])) for agent in agents))
    assert [json.loads(line)["user_agent"] for line in lines] == [agent.decode() for agent in agents]


def test_strangers_cannot_make_it_remember_without_end(pipe):
    observe = AccessLog(Log(pipe.write_end))
    pipe.start_reading()
    for number in range(3000):
        value = b"%d" % number * (100 if number % 2 else 1)
        observe(make_exchange(request_headers=Headers([(b"user-agent", value)])))
    assert len(observe._quoted_values) <= MAX_REMEMBERED_VALUES
    assert max(map(len, observe._quoted_values)) <= MAX_REMEMBERED_BYTES


# Exclusion


@pytest.mark.parametrize(
    ("excluded", "path", "is_logged"),
    [
        ([], "/up", True),
        (["/up"], "/up", False),
        (["/up"], "/up/", True),
        (["/up"], "/upload", True),
        (["/up"], "", True),
        (["/assets/*"], "/assets/app.js", False),
        (["/assets/*"], "/assets/", False),
        (["/assets/*"], "/assets", True),
        (["/up", "/assets/*", "/static/*"], "/static/x/y", False),
        (["/up", "/assets/*", "/static/*"], "/up", False),
        (["/up", "/assets/*", "/static/*"], "/", True),
    ],
)
def test_excluded_paths_are_not_logged(excluded, path, is_logged):
    for log_format in ("json", "text"):
        assert bool(logged(make_exchange(path=path), excluded=excluded, log_format=log_format)) == is_logged


# Text


def test_a_line_of_text_reads_from_left_to_right(utc):
    assert logged(
        make_exchange(),
        make_exchange(method="GET", path="/", query="", status=500, error="worker closed the connection"),
        Exchange("198.51.100.1", AT_S, 50.0),
        log_format="text",
    ) == [
        "05:01:02 POST    /messages?page=2                 201    12ms   2.0KB 203.0.113.7",
        "05:01:02 GET     /                                500    12ms   2.0KB 203.0.113.7"
        " worker closed the connection",
        "05:01:02 -       -                                  -   0.0ms      0B 198.51.100.1",
    ]


@given(any_text)
def test_nothing_from_a_client_reaches_the_terminal_raw(text):
    exchange = make_exchange(method=text, path=text, query=text, remote_address=text, error=text)
    [line] = logged(exchange, log_format="text")
    assert line.isprintable()


def test_a_space_cannot_shift_the_columns():
    [line] = logged(make_exchange(path="/x 200 1ms", query="\x1b[2J\xff"), log_format="text")
    assert r" /x\x20200\x201ms?\x1b[2J\xff " in line


def test_the_status_is_coloured_on_a_terminal(terminal):
    observe = AccessLog(Log(terminal.stdout, environ={"TERM": "xterm"}))
    for status in (200, 304, 404, 502, 0):
        observe(make_exchange(status=status))
    assert re.findall(r"\x1b\[(\d+)m *(\d+|-)\x1b\[0m", terminal.seen(lines=5)) == [
        ("32", "200"),
        ("36", "304"),
        ("33", "404"),
        ("31", "502"),
        ("31", "-"),
    ]


@pytest.mark.parametrize(
    ("duration_s", "text"),
    [
        (0.0, "0.0ms"),
        (0.00123, "1.2ms"),
        (0.00994, "9.9ms"),
        (0.00996, "10ms"),
        (0.9994, "999ms"),
        (0.9996, "1.00s"),
        (59.99, "59.99s"),
        (59.996, "1m00s"),
        (185.2, "3m05s"),
        (7200.0, "120m00s"),
    ],
)
def test_durations_are_readable(duration_s, text):
    assert readable_duration(duration_s) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1.0KB"),
        (1536, "1.5KB"),
        (1024**2 - 1, "1.0MB"),
        (500 * 1024**2, "500.0MB"),
        (3 * 1024**3, "3.0GB"),
    ],
)
def test_sizes_are_readable(size_bytes, text):
    assert readable_size(size_bytes) == text
