"""What is answered with a file: whose fields win, conditions, ranges, and which bytes are sent."""

import email.parser
import email.policy

import pytest

from tests.files.stats import LONG_AGO_NS, NOW_S, stat_of
from thrust.files.answer import Answer, Content, answer
from thrust.http.headers import FieldLine, Headers
from thrust.http.negotiation import IDENTITY

FILE = bytes(range(256)) * 4
TAG = b'"400-%x"' % LONG_AGO_NS
MODIFIED = b"Tue, 14 Nov 2023 22:13:20 GMT"
LATER = b"Tue, 14 Nov 2023 22:13:21 GMT"
EARLIER = b"Tue, 14 Nov 2023 22:13:19 GMT"
DERIVED = [(b"content-type", b"application/pdf"), (b"etag", TAG), (b"last-modified", MODIFIED)]

REPORT = Content(stat_of(len(FILE)), b"/data/report.pdf")


def ask(
    *fields: FieldLine,
    method: bytes = b"GET",
    content: Content = REPORT,
    status: int = 200,
    lines: list[FieldLine] | None = None,
) -> Answer:
    return answer(method, Headers(list(fields)), content, NOW_S, status=status, lines=lines or [])


def sent(described: Answer) -> bytes:
    """The bytes that a front would send for this answer."""
    pieces = (piece if isinstance(piece, bytes) else FILE[slice(*piece)] for piece in described.segments)
    body = b"".join(pieces)
    assert len(body) == described.content_length
    return body


def field(described: Answer, name: bytes) -> list[bytes]:
    return Headers(described.lines).get_all(name)


# Fields ---------------------------------------------------------------------------------------------------------------


def test_what_the_app_left_unsaid_is_derived() -> None:
    described = ask()
    assert described.status == 200
    assert described.lines == [*DERIVED, (b"accept-ranges", b"bytes")]
    assert sent(described) == FILE


@pytest.mark.parametrize(
    "line",
    [
        (b"content-type", b"application/x-report"),
        (b"content-disposition", b'attachment; filename="r.pdf"'),
        (b"cache-control", b"private, max-age=60"),
        (b"set-cookie", b"seen=1"),
        (b"etag", b'"of the app"'),
        (b"etag", b'W/"of the app"'),
        (b"last-modified", EARLIER),
        (b"expires", LATER),
        (b"content-encoding", b"gzip"),
        (b"vary", b"cookie"),
        (b"repr-digest", b"sha-256=:AAAA:"),
        (b"x-own", b"1"),
    ],
)
def test_what_the_app_says_wins(line: FieldLine) -> None:
    described = ask(lines=[line])
    assert field(described, line[0]) == [line[1]]
    others = [derived for derived in DERIVED if derived[0] != line[0]]
    assert [kept for kept in described.lines if kept in DERIVED] == others
    assert sent(described) == FILE


def test_fields_that_come_twice_stay_twice() -> None:
    described = ask(lines=[(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")])
    assert field(described, b"set-cookie") == [b"a=1", b"b=2"]


@pytest.mark.parametrize(
    "line",
    [
        (b"content-length", b"0"),
        (b"content-range", b"bytes 0-1/2"),
        (b"content-md5", b"1B2M2Y8AsgTpgAmY7PhCfg=="),
        (b"content-digest", b"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"),
        # Empty content's own tags, as Django and Werkzeug make them.
        (b"etag", b'"d41d8cd98f00b204e9800998ecf8427e"'),
        (b"etag", b'W/"d41d8cd98f00b204e9800998ecf8427e"'),
        (b"etag", b'"da39a3ee5e6b4b0d3255bfef95601890afd80709"'),
    ],
)
def test_what_the_app_says_of_its_own_empty_content_is_dropped(line: FieldLine) -> None:
    assert ask(lines=[line]).lines == ask().lines


@pytest.mark.parametrize("value", [b"none", b"bytes"])
def test_ranges_are_ours_to_offer(value: bytes) -> None:
    assert field(ask(lines=[(b"accept-ranges", value)]), b"accept-ranges") == [b"bytes"]


def test_the_lines_of_the_app_are_not_changed() -> None:
    lines = [(b"etag", b'"x"'), (b"vary", b"cookie"), (b"content-type", b"text/plain")]
    content = Content(stat_of(len(FILE)), b"app.js", b"br")
    ask(lines=lines, content=content)
    ask((b"range", b"bytes=0-1,4-5"), lines=lines, content=content)
    ask((b"if-none-match", b'"x"'), lines=lines, content=content)
    assert lines == [(b"etag", b'"x"'), (b"vary", b"cookie"), (b"content-type", b"text/plain")]


def test_a_new_file_has_a_weak_tag() -> None:
    described = ask(content=Content(stat_of(mtime_ns=int(NOW_S * 1e9)), b"x"))
    assert field(described, b"etag")[0].startswith(b"W/")


def test_a_made_up_time_gives_no_date() -> None:
    described = ask((b"if-modified-since", LATER), content=Content(stat_of(len(FILE), mtime_ns=0), b"x"))
    assert described.status == 200
    assert field(described, b"last-modified") == []


def test_an_empty_file_is_sent_as_nothing() -> None:
    described = ask((b"range", b"bytes=0-"), content=Content(stat_of(0), b"x"))
    assert (described.status, described.segments, described.content_length) == (200, [], 0)


# Methods and statuses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [(), ((b"if-none-match", TAG),), ((b"if-match", b'"y"'),), ((b"range", b"bytes=0-1"), (b"if-match", b'"y"'))],
)
def test_head_is_get_without_content(fields: tuple[FieldLine, ...]) -> None:
    get, head = ask(*fields), ask(*fields, method=b"HEAD")
    assert (head.status, head.lines, head.content_length) == (get.status, get.lines, get.content_length)
    assert head.segments == []


def test_a_range_means_nothing_to_head() -> None:
    assert ask((b"range", b"bytes=0-1"), method=b"HEAD") == ask(method=b"HEAD")


@pytest.mark.parametrize("status", [201, 203, 400, 403, 404, 410, 500, 503])
@pytest.mark.parametrize("name", [b"if-none-match", b"if-match", b"range"])
def test_other_statuses_go_out_whole(status: int, name: bytes) -> None:
    value = {b"if-none-match": TAG, b"if-match": b'"y"', b"range": b"bytes=0-1"}[name]
    lines = [(b"cache-control", b"no-store"), (b"content-range", b"bytes */2")]
    described = ask((name, value), status=status, lines=lines)
    assert described.status == status
    assert described.lines == [(b"cache-control", b"no-store"), (b"content-type", b"application/pdf")]
    assert sent(described) == FILE


@pytest.mark.parametrize("status", [204, 205, 304])
def test_what_has_no_content_gets_none(status: int) -> None:
    """Werkzeug and Django answer a condition themselves, and the name of the file is still in it."""
    described = ask(status=status, lines=[(b"etag", b'"x"'), (b"set-cookie", b"a=1")])
    assert described == Answer(status, [(b"etag", b'"x"'), (b"set-cookie", b"a=1")], [], 0)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (206, [(b"content-range", b"bytes 5-9/10"), (b"accept-ranges", b"bytes")]),
        (206, [(b"content-type", b"multipart/byteranges; boundary=x")]),
        (416, [(b"content-range", b"bytes */0")]),
    ],
)
@pytest.mark.parametrize("asked", [b"bytes=0-1", b"bytes=0-1,5-9", b"bytes=5000-", b"lines=1-2", None])
def test_what_the_app_answers_to_ranges_counts_as_the_200_that_it_would_have_been(
    monkeypatch: pytest.MonkeyPatch, status: int, said: list[FieldLine], asked: bytes | None
) -> None:
    """Werkzeug has seen the Range field too, and says what it would have sent (Flask's USE_X_SENDFILE)."""
    monkeypatch.setattr("secrets.token_hex", lambda count: "b" * 32)
    fields: list[FieldLine] = [] if asked is None else [(b"range", asked)]
    assert ask(*fields, status=status, lines=said) == ask(*fields)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"PUT"])
def test_a_412_of_the_app_comes_without_the_file(method: bytes) -> None:
    """So answers Werkzeug when If-Match does not fit, and leaves the name of the file in it."""
    said = [(b"etag", b'"x"'), (b"content-type", b"text/html"), (b"set-cookie", b"a=1"), (b"cache-control", b"public")]
    described = ask((b"if-match", b'"y"'), method=method, status=412, lines=said)
    assert described == Answer(412, [(b"set-cookie", b"a=1")], [], 0)


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"OPTIONS"])
@pytest.mark.parametrize("name", [b"if-none-match", b"if-match", b"range"])
def test_the_answer_to_another_method_is_no_representation(method: bytes, name: bytes) -> None:
    """The app has done by now what a condition should have prevented."""
    value = {b"if-none-match": TAG, b"if-match": b'"y"', b"range": b"bytes=0-1"}[name]
    described = ask((name, value), method=method)
    assert (described.status, described.lines) == (200, [(b"content-type", b"application/pdf")])
    assert sent(described) == FILE


# Conditions (RFC 9110 §13) --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([(b"if-none-match", TAG)], 304),
        ([(b"if-none-match", b"W/" + TAG)], 304),
        ([(b"if-none-match", b'"x", ' + TAG)], 304),
        ([(b"if-none-match", b"*")], 304),
        ([(b"if-none-match", b'"x"')], 200),
        ([(b"if-none-match", b'"x"'), (b"if-modified-since", LATER)], 200),
        ([(b"if-modified-since", MODIFIED)], 304),
        ([(b"if-modified-since", LATER)], 304),
        ([(b"if-modified-since", EARLIER)], 200),
        ([(b"if-modified-since", b"yesterday")], 200),
        ([(b"if-match", TAG)], 200),
        ([(b"if-match", b"*")], 200),
        ([(b"if-match", b"W/" + TAG)], 412),
        ([(b"if-match", b'"x"')], 412),
        ([(b"if-unmodified-since", MODIFIED)], 200),
        ([(b"if-unmodified-since", EARLIER)], 412),
        ([(b"if-match", TAG), (b"if-none-match", TAG)], 304),
        # Conditions come before ranges.
        ([(b"range", b"bytes=0-1"), (b"if-none-match", TAG)], 304),
        ([(b"range", b"bytes=0-1"), (b"if-match", b'"x"')], 412),
        ([(b"range", b"bytes=9999-"), (b"if-none-match", TAG)], 304),
        ([(b"range", b"bytes=0-1"), (b"if-match", TAG)], 206),
    ],
)
def test_conditions_are_met_or_not(fields: list[FieldLine], status: int) -> None:
    described = ask(*fields)
    assert described.status == status
    if status in (304, 412):
        assert (described.segments, described.content_length) == ([], 0)


def test_conditions_are_about_what_the_app_says() -> None:
    own = [(b"etag", b'"own"'), (b"last-modified", EARLIER)]
    assert ask((b"if-none-match", b'"own"'), lines=own).status == 304
    assert ask((b"if-none-match", TAG), lines=own).status == 200
    assert ask((b"if-modified-since", EARLIER), lines=own).status == 304


OWN = [
    (b"cache-control", b"max-age=60"),
    (b"content-disposition", b"inline"),
    (b"content-encoding", b"gzip"),
    (b"content-language", b"en"),
    (b"content-location", b"/reports/7"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"expires", LATER),
    (b"set-cookie", b"a=1"),
    (b"access-control-allow-origin", b"*"),
    (b"vary", b"cookie"),
    (b"surrogate-control", b"max-age=60"),
]


def test_a_304_repeats_what_caches_need_and_what_is_not_about_content() -> None:
    """RFC 9110 §15.4.5. A cookie, or a policy, is for this very answer."""
    described = ask((b"if-none-match", TAG), lines=OWN)
    gone = {b"content-disposition", b"content-encoding", b"content-language"}
    assert described.lines == [*(line for line in OWN if line[0] not in gone), (b"etag", TAG)]


@pytest.mark.parametrize("asked", [(b"if-match", b'"x"'), (b"range", b"bytes=9999-")])
def test_a_refusal_is_not_kept_in_the_files_place(asked: FieldLine) -> None:
    described = ask(asked, lines=OWN)
    kept = {b"content-security-policy", b"set-cookie", b"access-control-allow-origin", b"vary"}
    assert [line for line in described.lines if line[0] != b"content-range"] == [
        line for line in OWN if line[0] in kept
    ]


# Ranges (RFC 9110 §14) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [(b"bytes=0-0", 0, 1), (b"bytes=10-19", 10, 20), (b"bytes=1000-", 1000, 1024), (b"bytes=-24", 1000, 1024)],
)
def test_a_part_is_sent(value: bytes, start: int, stop: int) -> None:
    described = ask((b"range", value), lines=[(b"content-disposition", b"inline")])
    assert described.status == 206
    assert field(described, b"content-range") == [b"bytes %d-%d/1024" % (start, stop - 1)]
    assert {*DERIVED, (b"content-disposition", b"inline"), (b"accept-ranges", b"bytes")} < set(described.lines)
    assert described.segments == [(start, stop)]
    assert sent(described) == FILE[start:stop]


def test_parts_are_sent_as_multipart() -> None:
    described = ask((b"range", b"bytes=-24, 0-9, 100-199"))
    assert described.status == 206
    assert field(described, b"content-range") == []
    (content_type,) = field(described, b"content-type")
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        b"Content-Type: " + content_type + b"\r\n\r\n" + sent(described)
    )
    parts = [
        (part["Content-Range"], part["Content-Type"], part.get_payload(decode=True)) for part in message.iter_parts()
    ]
    assert parts == [
        ("bytes 1000-1023/1024", "application/pdf", FILE[1000:]),
        ("bytes 0-9/1024", "application/pdf", FILE[:10]),
        ("bytes 100-199/1024", "application/pdf", FILE[100:200]),
    ]


def test_no_two_boundaries_are_the_same() -> None:
    first, second = (ask((b"range", b"bytes=0-1,4-5")) for _ in range(2))
    assert field(first, b"content-type") != field(second, b"content-type")


def test_what_cannot_be_satisfied_is_told_the_length() -> None:
    described = ask((b"range", b"bytes=1024-"))
    assert described == Answer(416, [(b"content-range", b"bytes */1024")], [], 0)


@pytest.mark.parametrize(
    "fields", [[b"bytes=0-1", b"bytes=4-5"], [b"lines=0-1"], [b"bytes=5-1"], [b"bytes=0-1023,0-9"]]
)
def test_a_range_that_does_not_count_is_ignored(fields: list[bytes]) -> None:
    assert ask(*((b"range", value) for value in fields)) == ask()


@pytest.mark.parametrize(
    ("validator", "status"),
    [(TAG, 206), (MODIFIED, 206), (b"W/" + TAG, 200), (b'"x"', 200), (EARLIER, 200), (LATER, 200), (b"junk", 200)],
)
def test_if_range_asks_for_the_same_file(validator: bytes, status: int) -> None:
    described = ask((b"range", b"bytes=0-1"), (b"if-range", validator))
    assert described.status == status
    assert sent(described) == (FILE[:2] if status == 206 else FILE)


def test_a_file_that_changes_still_is_not_joined_to_an_old_part() -> None:
    content = Content(stat_of(len(FILE), mtime_ns=int(NOW_S * 1e9)), b"x")
    (tag,) = field(ask(content=content), b"etag")
    (date,) = field(ask(content=content), b"last-modified")
    for validator in (tag, tag.removeprefix(b"W/"), date):
        assert ask((b"range", b"bytes=0-1"), (b"if-range", validator), content=content).status == 200


# Siblings -------------------------------------------------------------------------------------------------------------


def test_a_sibling_has_the_originals_type_its_coding_and_a_tag_of_its_own() -> None:
    described = ask(content=Content(stat_of(len(FILE)), b"app.js", b"br"))
    assert described.lines == [
        (b"content-type", b"text/javascript; charset=utf-8"),
        (b"content-encoding", b"br"),
        (b"vary", b"accept-encoding"),
        (b"etag", TAG[:-1] + b'~br"'),
        (b"last-modified", MODIFIED),
        (b"accept-ranges", b"bytes"),
    ]
    assert sent(described) == FILE


def test_the_original_of_siblings_varies_too() -> None:
    described = ask(content=Content(stat_of(len(FILE)), b"app.js", IDENTITY), lines=[(b"vary", b"cookie")])
    assert field(described, b"vary") == [b"cookie, accept-encoding"]
    assert field(described, b"content-encoding") == []
    assert field(described, b"etag") == [TAG]
    assert field(ask(), b"vary") == []


def test_a_304_and_a_206_of_a_sibling_speak_of_the_sibling() -> None:
    content = Content(stat_of(len(FILE)), b"app.js", b"br")
    tag = TAG[:-1] + b'~br"'
    confirmed = ask((b"if-none-match", tag), content=content)
    assert (confirmed.status, confirmed.lines) == (304, [(b"vary", b"accept-encoding"), (b"etag", tag)])
    part = ask((b"range", b"bytes=0-1"), (b"if-range", tag), content=content)
    assert (part.status, field(part, b"content-encoding")) == (206, [b"br"])
    assert ask((b"range", b"bytes=0-1"), (b"if-range", TAG), content=content).status == 200


def test_a_tag_of_the_app_is_told_apart_by_coding() -> None:
    content = Content(stat_of(len(FILE)), b"app.js", b"gzip")
    assert field(ask(content=content, lines=[(b"etag", b'"own"')]), b"etag") == [b'"own~gzip"']
    # The client holds the original, and keeps it by the name that it knows.
    confirmed = ask((b"if-none-match", b'"own"'), content=content, lines=[(b"etag", b'"own"')])
    assert (confirmed.status, field(confirmed, b"etag")) == (304, [b'"own"'])
