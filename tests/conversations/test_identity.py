"""What the worker hears about who is asking, as it goes over the wire; the rules are in handlers/test_identify.py."""

from ipaddress import ip_network

from tests.conversations.conftest import Converse
from tests.support.conversation import Stage, perform

LIES = r"""
        client >> GET / HTTP/1.1
        client >> Host: example.org:3000
        client >> X-Forwarded-For: 198.51.100.1
        client >> X-Forwarded-For: 198.51.100.2
        client >> X-Forwarded-Host: evil.example
        client >> X-Forwarded-Proto: https
        client >> X_Forwarded_For: 198.51.100.3
        client >> X-Real-IP: 198.51.100.4
        client >> X-Request-ID: trace-1
        client >> Forwarded: for=198.51.100.5
        client >> X-Sendfile-Type: X-Accel-Redirect
        client >> X-Accel-Mapping: /=/
        client >> Cookie: a_b=1
        client >>
"""
ANSWER = r"""
        worker >> HTTP/1.1 204 No Content
        worker >>
        client << HTTP/1.1 204 No Content
        client << date: *
        client <<
"""


def test_an_untrusted_client_is_not_believed(talk: Converse) -> None:
    stage = talk(
        LIES
        + r"""
        worker << GET / HTTP/1.1
        worker << host: example.org:3000
        worker << cookie: a_b=1
        worker << x-forwarded-for: 203.0.113.7
        worker << x-forwarded-host: example.org:3000
        worker << x-forwarded-proto: http
        worker << x-forwarded-port: 3000
        worker << x-real-ip: 203.0.113.7
        worker << x-request-start: t=*
        worker << x-request-id: trace-1
        worker <<
        """
        + ANSWER,
        forward_headers=False,
    )
    (exchange,) = stage.exchanges
    assert (exchange.remote_address, exchange.peer_address) == ("203.0.113.7", "203.0.113.7")
    assert (exchange.host, exchange.request_id) == ("example.org:3000", "trace-1")


TRUSTED = (
    LIES
    + r"""
        worker << GET / HTTP/1.1
        worker << host: example.org:3000
        worker << cookie: a_b=1
        worker << x-forwarded-for: 198.51.100.1, 198.51.100.2, 203.0.113.7
        worker << x-forwarded-host: evil.example
        worker << x-forwarded-proto: https
        worker << x-forwarded-port: 443
        worker << x-real-ip: 198.51.100.2
        worker << x-request-start: t=*
        worker << x-request-id: trace-1
        worker << forwarded: for=198.51.100.5
        worker <<
"""
    + ANSWER
)


def test_a_trusted_client_is_believed(talk: Converse) -> None:
    stage = talk(TRUSTED)
    assert stage.exchanges[0].remote_address == "198.51.100.2"


def test_only_proxies_of_ours_are_believed(talk: Converse) -> None:
    assert talk(TRUSTED, trusted_proxies=(ip_network("203.0.113.0/24"),)).exchanges[0].status == 204
    talk(
        LIES
        + r"""
        worker << GET / HTTP/1.1
        worker << ...
        worker << x-forwarded-for: 203.0.113.7
        worker << ... (no forwarded)
        worker <<
        """
        + ANSWER,
        trusted_proxies=(ip_network("192.0.2.0/24"),),
    )


def test_a_probe_reaches_the_worker_as_localhost(talk: Converse) -> None:
    stage = talk(
        r"""
        client >> GET /up HTTP/1.1
        client >> Host: web-5d4f:3000
        client >> User-Agent: kamal-proxy
        client >>
        worker << GET /up HTTP/1.1
        worker << host: localhost
        worker << user-agent: kamal-proxy
        worker << x-forwarded-for: 203.0.113.7
        worker << x-forwarded-host: localhost
        worker << ...
        worker <<
        """
        + ANSWER
    )
    assert stage.exchanges[0].host == "web-5d4f:3000"


def test_the_health_path_can_be_another_or_none(talk: Converse) -> None:
    for health_path in ("/healthz", None):
        talk(
            r"""
        client >> GET /up HTTP/1.1
        client >> Host: web-5d4f:3000
        client >>
        worker << GET /up HTTP/1.1
        worker << host: web-5d4f:3000
        worker << ...
        worker <<
            """
            + ANSWER,
            health_path=health_path,
        )


def test_a_client_may_have_an_ipv6_address() -> None:
    async def story(stage: Stage) -> None:
        stage.client(address="2001:db8::7").send(b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:3000\r\n\r\n")
        await stage.settled()
        head = stage.worker().take()
        for line in (
            b"host: [2001:db8::1]:3000",
            b"x-forwarded-for: 2001:db8::7",
            b"x-forwarded-host: [2001:db8::1]:3000",
            b"x-forwarded-port: 3000",
            b"x-real-ip: 2001:db8::7",
        ):
            assert b"\r\n" + line + b"\r\n" in head

    stage = perform(story)
    assert stage.exchanges[0].remote_address == "2001:db8::7"
