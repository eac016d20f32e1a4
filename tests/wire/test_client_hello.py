"""Reading a ClientHello: real ones of OpenSSL, cut in every way, and everything that only looks like one."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thrust.errors import Alert, TlsRefusal
from thrust.wire.client_hello import (
    MAX_HELLO_BYTES,
    MAX_RECEIVED_BYTES,
    ClientHello,
    HelloBuffer,
    parse_client_hello,
)


def hello_of(server_name: str | None = None, *protocols: str, tls12: bool = False) -> bytes:
    """What OpenSSL's client sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if tls12:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if protocols:
        context.set_alpn_protocols(list(protocols))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def vector(content: bytes, length_bytes: int) -> bytes:
    return len(content).to_bytes(length_bytes) + content


def extension(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2) + vector(value, 2)


def body(*extensions: bytes) -> bytes:
    """The fields of a ClientHello, with those extensions."""
    return bytes(34) + vector(b"", 1) + vector(b"\x13\x01", 2) + vector(b"\0", 1) + vector(b"".join(extensions), 2)


def message(content: bytes) -> bytes:
    return b"\x01" + vector(content, 3)


def records(content: bytes, size: int = MAX_HELLO_BYTES) -> bytes:
    """`content` in records of `size`."""
    return b"".join(
        b"\x16\x03\x01" + vector(content[start : start + size], 2) for start in range(0, len(content), size)
    )


def server_name(name: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(bytes([kind]) + vector(name, 2), 2))


REAL = hello_of("App.Example.com", "h2", "http/1.1")
READ = ClientHello(b"app.example.com", (b"h2", b"http/1.1"))


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (REAL, READ),
        (hello_of("example.com"), ClientHello(b"example.com", ())),
        (hello_of(None, "acme-tls/1"), ClientHello(None, (b"acme-tls/1",))),
        (hello_of(None), ClientHello(None, ())),
        (hello_of("example.com", "h2", tls12=True), ClientHello(b"example.com", (b"h2",))),
        (records(message(body())), ClientHello(None, ())),
        # TLS 1.2 allows to leave out the extensions, with their length.
        (records(message(body()[:-2])), ClientHello(None, ())),
        (records(message(body(server_name(b"a", kind=1)))), ClientHello(None, ())),
        (records(message(body(extension(21, bytes(9000)), server_name(b"A")))), ClientHello(b"a", ())),
    ],
)
def test_name_and_protocols_are_read(sent: bytes, expected: ClientHello) -> None:
    buffer = HelloBuffer()
    assert buffer.feed(sent)
    assert buffer.hello == expected
    assert buffer.received == sent


def test_it_is_read_byte_by_byte() -> None:
    buffer = HelloBuffer()
    assert [buffer.feed(bytes([byte])) for byte in REAL] == [False] * (len(REAL) - 1) + [True]
    assert buffer.hello == READ
    assert buffer.received == REAL


@pytest.mark.parametrize("size", [1, 3, 4, 100, 511])
def test_it_may_be_spread_over_records(size: int) -> None:
    sent = records(REAL[5:], size)
    buffer = HelloBuffer()
    assert not buffer.feed(sent[:-1])
    assert buffer.feed(sent[-1:])
    assert buffer.hello == READ


def test_what_follows_is_kept_and_not_looked_at() -> None:
    buffer = HelloBuffer()
    assert buffer.feed(REAL + b"\x14\x03\x03\0\x01\x01")
    assert buffer.feed(b"more")
    assert buffer.received == REAL + b"\x14\x03\x03\0\x01\x01more"


@pytest.mark.parametrize(
    ("sent", "alert"),
    [
        (b"GET / HTTP/1.1\r\n", Alert.UNEXPECTED_MESSAGE),
        (b"\x15\x03\x01\0\x02\x02\x28", Alert.UNEXPECTED_MESSAGE),
        (b"\x16\x02\x00\0\x05", Alert.PROTOCOL_VERSION),
        (b"\x16\x03\x01\0\0", Alert.DECODE_ERROR),
        (b"\x16\x03\x01\x40\x01", Alert.DECODE_ERROR),
        (records(b"\x02\0\0\x01\0"), Alert.UNEXPECTED_MESSAGE),
        (records(b"\x01" + (MAX_HELLO_BYTES + 1).to_bytes(3)), Alert.DECODE_ERROR),
        (records(b"\x01\0\x10") + b"\x17\x03\x03\0\x01\0", Alert.UNEXPECTED_MESSAGE),
        (records(message(b"")), Alert.DECODE_ERROR),
        (records(message(body() + b"\0")), Alert.DECODE_ERROR),
        (records(message(body(extension(5, b"") * 2))), Alert.ILLEGAL_PARAMETER),
        (records(message(body(extension(0, b"\0\x05\0")))), Alert.DECODE_ERROR),
        (records(message(body(extension(0, vector(b"\0\0\x09abc", 2))))), Alert.DECODE_ERROR),
        (records(message(body(extension(16, vector(b"\x03h2", 2))))), Alert.DECODE_ERROR),
        (records(message(body(extension(16, vector(b"\x02h2", 2) + b"x")))), Alert.DECODE_ERROR),
    ],
)
def test_anything_else_is_refused_as_soon_as_it_shows(sent: bytes, alert: Alert) -> None:
    with pytest.raises(TlsRefusal) as refusal:
        HelloBuffer().feed(sent)
    assert refusal.value.alert is alert


def test_a_client_cannot_make_it_keep_more_than_its_limit() -> None:
    buffer = HelloBuffer()
    header = b"\x16\x03\x01\0\x01"
    buffer.feed(header + b"\x01" + header + b"\0" + header + b"\x40" + header + b"\0")
    with pytest.raises(TlsRefusal, match="more than 32768 bytes"):
        for _ in range(MAX_RECEIVED_BYTES):
            buffer.feed(header + b"x")
    assert len(buffer.received) <= MAX_RECEIVED_BYTES + 6


@given(st.binary(max_size=300))
def test_no_bytes_surprise_it(data: bytes) -> None:
    for sent in (data, b"\x16\x03\x01" + data, records(message(data)) if data else b"", records(message(body(data)))):
        try:
            HelloBuffer().feed(sent)
        except TlsRefusal as refusal:
            assert str(refusal)


@given(st.integers(0, len(REAL) - 6), st.integers(0, 255))
def test_a_changed_byte_never_makes_it_fail_otherwise(at: int, value: int) -> None:
    changed = bytearray(REAL[5:])
    changed[at] = value
    try:
        parse_client_hello(bytes(changed[4:]))
        HelloBuffer().feed(records(bytes(changed)))
    except TlsRefusal as refusal:
        assert refusal.alert in Alert


@pytest.mark.parametrize("length", range(len(REAL) - 9))
def test_a_shortened_one_is_refused_or_has_no_extensions(length: int) -> None:
    try:
        assert parse_client_hello(REAL[9:][:length]) == ClientHello(None, ())
    except TlsRefusal as refusal:
        assert refusal.alert is Alert.DECODE_ERROR


@given(st.lists(st.integers(1, len(REAL) - 1), max_size=8))
def test_however_it_is_cut_the_result_is_the_same(cuts: list[int]) -> None:
    buffer = HelloBuffer()
    edges = [0, *sorted(cuts), len(REAL)]
    told = [buffer.feed(REAL[start:stop]) for start, stop in zip(edges, edges[1:], strict=False) if stop > start]
    assert told[-1] and not any(told[:-1])
    assert buffer.hello == READ
