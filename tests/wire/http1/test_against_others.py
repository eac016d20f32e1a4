"""What we take, others have to take in the same way: h11, llhttp, Python's http.server, and a reference for chunks.

Two directions. What a client sent and we accepted is compared with what h11 reads in the same bytes: we may refuse more
than it does, never less. What we then send to the worker is read by all that workers are made of, and each has to find
the same requests in it, which is what keeps one client's request from being smuggled behind another's.

Known differences, each of them ours on purpose:
- An empty line before a request is ignored (RFC 9112 §2.2); h11 refuses it.
- An HTTP/1.0 connection may persist; h11 closes it.
- Targets come in origin-form, fields without those of the hop; h11 leaves that to its caller.
- Content-Length of a 1xx or 204 is dropped; h11 leaves it in.
- Trailers that would change what a message means are dropped; h11 leaves them in.
- http.server takes several slashes at the start of a path for one.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import wire_claims, wire_messages
from tests.support.wire_messages import BOUNDED, Sent
from tests.support.wire_streams import read_requests
from tests.support.wire_witnesses import WITNESSES

HEAD = b"POST /first HTTP/1.1\r\nHost: a.example\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: a.example\r\n\r\n"

# Bytes with which one parser of a chain has been led past another (RFC 9112 §11.2 and the reports since).
SMUGGLING: list[bytes] = [
    HEAD + b"Content-Length: 43\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + SECOND,
    HEAD + b"Content-Length: 0, 44\r\n\r\n" + SECOND,
    HEAD + b"Content-Length : 44\r\n\r\n" + SECOND,
    HEAD + b"Content-Length\x00: 44\r\n\r\n" + SECOND,
    HEAD + b"Content-Length: +44\r\n\r\n" + SECOND,
    HEAD + b"Content-Length: 0x2c\r\n\r\n" + SECOND,
    HEAD + b"Content_Length: 44\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: \xffchunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"X: x\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"X: x\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"X: x\x85Transfer-Encoding: chunked\r\n\r\n" + SECOND,
    HEAD + b"X: x\xc2\x85Content-Length: 44\r\n\r\n" + SECOND,
    HEAD + b"X: \xe2\x80\xa8Content-Length: 44\r\n\r\n" + SECOND,
    HEAD + b"Connection: Content-Length\r\nContent-Length: 44\r\n\r\n" + SECOND,
    HEAD + b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Connection: Host\r\nContent-Length: 0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0;\nx\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n2a\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2;\rxx\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nxxXX0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\nxx\n0\n\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n2 ;x\r\nxx\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0_2\r\nxx\r\n0\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 44\r\n\r\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\n" + SECOND,
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\n" + SECOND,
    HEAD + b"Expect: 100-continue\r\nContent-Length: 44\r\n\r\n" + SECOND,
    HEAD + b"Expect: x\r\nContent-Length: 44\r\n\r\n" + SECOND,
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n" + SECOND,
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + SECOND,
    b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 44\r\n\r\n" + SECOND,
    b"GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
    b"GET http://b.example/ HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND,
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + SECOND,
    b"GET / HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n" + SECOND,
    b"GET /\x0bx HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND,
    b"GET / HTTP/1.1\r\nHost: a\r\nFrom : x\r\n\r\n" + SECOND,
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n" + SECOND,
    b"GET //evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND,
    b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 44\r\n\r\n" + SECOND,
]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("data", SMUGGLING, ids=[repr(data)[2:90] for data in SMUGGLING])
def test_no_known_way_of_smuggling_gets_past_us(data: bytes, streamed: bool) -> None:
    wire_claims.h11_reads_the_same_requests(data)
    wire_claims.workers_read_the_same_requests(read_requests([data]).messages, streamed=streamed)


@pytest.mark.parametrize("name", WITNESSES)
def test_a_witness_tells_one_request_from_two(name: str) -> None:
    two = b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
    assert [seen.content for seen in WITNESSES[name](two).messages] == [b"hi", b""]
    assert WITNESSES[name](b"GET /1 HTTP/1.1\r\nHost : a\r\n\r\n\x00\r\n\r\n").error or name == "http.server"


@pytest.mark.slow
@BOUNDED
@given(sent=st.lists(wire_messages.requests(), min_size=1, max_size=3), streamed=st.booleans())
def test_valid_requests_are_read_by_all_in_the_same_way(sent: list[Sent], streamed: bool) -> None:
    data = b"".join(message.wire for message in sent)
    wire_claims.h11_reads_the_same_requests(data)
    wire_claims.workers_read_the_same_requests(read_requests([data]).messages, streamed=streamed)


@pytest.mark.slow
@BOUNDED
@given(data=wire_messages.damaged(wire_messages.requests()), streamed=st.booleans())
def test_damaged_requests_that_we_take_are_read_by_all_in_the_same_way(data: bytes, streamed: bool) -> None:
    wire_claims.h11_reads_the_same_requests(data)
    wire_claims.workers_read_the_same_requests(read_requests([data]).messages, streamed=streamed)


@pytest.mark.slow
@BOUNDED
@given(
    data=st.one_of(
        wire_messages.responses().map(lambda sent: sent.wire), wire_messages.damaged(wire_messages.responses())
    ),
    method=st.sampled_from([b"GET", b"HEAD"]),
)
def test_responses_that_we_take_are_read_by_h11_in_the_same_way(data: bytes, method: bytes) -> None:
    wire_claims.h11_reads_the_same_response(data, method)


@pytest.mark.slow
@BOUNDED
@given(data=wire_messages.damaged(wire_messages.chunked_bodies()))
def test_chunks_that_we_take_are_read_by_all_in_the_same_way(data: bytes) -> None:
    wire_claims.others_read_the_same_chunks(data)


@pytest.mark.slow
@BOUNDED
@given(sent=wire_messages.chunked_bodies())
def test_valid_chunks_are_read_by_all_in_the_same_way(sent: Sent) -> None:
    wire_claims.others_read_the_same_chunks(sent.wire)
