"""The fields of a response after its content was coded."""

import pytest

from thrust.http.coded import coded_lines, coded_trailers, forbids_transformation, varying_by_coding
from thrust.http.headers import FieldLine, Headers


def test_coded_content_has_a_coding_and_a_tag_of_its_own() -> None:
    lines = [(b"content-type", b"text/html"), (b"etag", b'"abc"'), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
    assert coded_lines(lines, b"br") == [
        (b"content-type", b"text/html"),
        (b"etag", b'"abc~br"'),
        (b"set-cookie", b"a"),
        (b"set-cookie", b"b"),
        (b"content-encoding", b"br"),
    ]
    assert lines[1] == (b"etag", b'"abc"')


@pytest.mark.parametrize(
    "name", [b"accept-ranges", b"content-digest", b"content-encoding", b"content-md5", b"digest", b"repr-digest"]
)
def test_what_was_said_of_the_plain_content_is_taken_back(name: bytes) -> None:
    lines = [(b"x-a", b"1"), (name, b"2"), (b"x-b", b"3")]
    assert coded_trailers(lines, b"gzip") == [(b"x-a", b"1"), (b"x-b", b"3")]
    assert coded_lines(lines, b"gzip")[2:] == [(b"content-encoding", b"gzip")]


@pytest.mark.parametrize(
    ("values", "varying"),
    [
        ([], [b"accept-encoding"]),
        ([b""], [b", accept-encoding"]),
        ([b"Cookie"], [b"Cookie, accept-encoding"]),
        ([b"Cookie", b"Origin"], [b"Cookie, Origin, accept-encoding"]),
        ([b"accept-encoding"], [b"accept-encoding"]),
        ([b"Cookie,Accept-Encoding"], [b"Cookie,Accept-Encoding"]),
        ([b"Cookie", b" Accept-Encoding"], [b"Cookie", b" Accept-Encoding"]),
        ([b"*"], [b"*"]),
        ([b"x-accept-encoding"], [b"x-accept-encoding, accept-encoding"]),
    ],
)
def test_vary_names_accept_encoding_once(values: list[bytes], varying: list[bytes]) -> None:
    lines: list[FieldLine] = [(b"date", b"x"), *[(b"vary", value) for value in values], (b"age", b"1")]
    result = varying_by_coding(lines)
    assert [value for name, value in result if name == b"vary"] == varying
    assert [line for line in result if line[0] != b"vary"] == [(b"date", b"x"), (b"age", b"1")]
    assert varying_by_coding(result) is result


@pytest.mark.parametrize(
    ("values", "forbids"),
    [
        ([], False),
        ([b"no-store"], False),
        ([b"no-transform"], True),
        ([b"max-age=5, No-Transform"], True),
        ([b"private", b"no-transform"], True),
        ([b'private="no-transform"'], False),
        ([b"x-no-transform"], False),
    ],
)
def test_no_transform_is_a_directive_of_its_own(values: list[bytes], forbids: bool) -> None:
    assert forbids_transformation(Headers([(b"cache-control", value) for value in values])) is forbids
