"""Which requests are for the same: nobody gets from memory what somebody else's request has shaped."""

from ipaddress import ip_network
from typing import Any

import pytest

from tests.support.cached_site import Message, Site, answer, on_site

MINE = answer("Cache-Control: max-age=60", body=b"mine")
THEIRS = answer("Cache-Control: max-age=60", body=b"theirs")

TRUSTED: dict[str, Any] = {"forward_headers": True}
UNTRUSTED: dict[str, Any] = {"forward_headers": False}
BEHIND_ANOTHER: dict[str, Any] = {"trusted_proxies": (ip_network("192.0.2.0/24"),)}
IN_EVERY_MODE = pytest.mark.parametrize("mode", [TRUSTED, UNTRUSTED, BEHIND_ANOTHER], ids=["trusted", "not", "other"])


@IN_EVERY_MODE
@pytest.mark.parametrize(
    "lines",
    [
        ["X-Forwarded-Host: evil.example"],
        ["X-Forwarded-Host: EXAMPLE.org"],
        ["X-Forwarded-Host: example.org:8080"],
        ["X-Forwarded-Host: evil.example, example.org"],
        ["X-Forwarded-Proto: https"],
        ["X-Forwarded-Port: 8080"],
        ["X-Forwarded-Prefix: /evil"],
        ["X-Forwarded-Scheme: https"],
        ["X-Forwarded-Ssl: on"],
        ["X-Forwarded-Path: /evil"],
        ["X-Forwarded-Anything: evil"],
        ["X-Forwarded-Server: example.org", "X-Forwarded-Uri: /evil"],
        ["Forwarded: host=evil.example"],
        ["Forwarded: for=1.2.3.4;proto=https"],
        ['Forwarded: for="[::1]", host="evil.example"'],
        ["Forwarded: host=example.org, host=evil.example"],
        ["Forwarded: path=/evil"],
        ["X-Scheme: https"],
        ["X-Url-Scheme: https"],
        ["Front-End-Https: on"],
        ["X-Host: evil.example"],
        ["X-Original-Host: evil.example"],
        ["X-HTTP-Host-Override: evil.example"],
        ["X-Original-URL: /evil"],
        ["X-Original-URI: /evil"],
        ["X-Rewrite-URL: /evil"],
        ["X-Script-Name: /evil"],
        ["X-HTTP-Method-Override: DELETE"],
        ["X-HTTP-Method: DELETE"],
        ["X-Method: DELETE"],
        ["X-Forwarded: host=evil.example"],
        ["X-Method-Override: DELETE"],
        ["X_Forwarded_Host: evil.example"],
        ["X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.example"],
        ["X-Accel-Mapping: /=/evil/"],
    ],
)
def test_a_field_that_shapes_the_answer_never_reaches_another(lines: list[str], mode: dict[str, Any]) -> None:
    """Whatever came before it, an ordinary request is answered as the worker would have answered it."""

    async def story(site: Site) -> None:
        for attacker in (2, 3):
            site.answers.append(echo)
            await site.get("/a", *lines, client=attacker)
            site.answers.clear()
        site.answers.append(echo)
        assert (await site.get()).body == PLAIN
        site.answers.clear()

    on_site(story, **mode)


UNSHAPING = {
    "x-forwarded-for",
    "x-forwarded-server",
    "x-real-ip",
    "x-request-id",
    "x-request-start",
    "x-sendfile-type",
}
PLAIN = b"host: example.org\nx-forwarded-host: example.org\nx-forwarded-port: 80\nx-forwarded-proto: http"


def echo(asked: Message) -> bytes:
    """Says all by which an app could be led to say something else."""
    lines = sorted(f"{name}: {value}" for name, value in asked.lines if name not in UNSHAPING)
    return answer("Cache-Control: max-age=60", body="\n".join(lines).encode())


@pytest.mark.parametrize("mode", [UNTRUSTED, BEHIND_ANOTHER])
def test_the_name_of_a_proxy_is_not_believed_of_anybody(mode: dict[str, Any]) -> None:
    async def story(site: Site) -> None:
        await site.get("/a", "X-Forwarded-Server: evil.example", "X-Forwarded: evil.example")
        asked = site.take_asked()[0]
        assert (asked["x-forwarded-server"], asked["x-forwarded"]) == (None, None)

    on_site(story, MINE, **mode)


@pytest.mark.parametrize(
    "lines",
    [
        # ingress-nginx
        [
            "X-Request-ID: 1",
            "X-Real-IP: 6.6.6.6",
            "X-Forwarded-For: 6.6.6.6",
            "X-Forwarded-Host: example.org",
            "X-Forwarded-Port: 443",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Scheme: https",
            "X-Scheme: https",
        ],
        # Traefik
        [
            "X-Forwarded-For: 6.6.6.6",
            "X-Forwarded-Host: example.org",
            "X-Forwarded-Port: 443",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Server: traefik-7d5f",
            "X-Real-Ip: 6.6.6.6",
        ],
        # Azure Application Gateway, and nginx as many have it
        ["X-Forwarded-Proto: https", "X-Original-Host: example.org", "X-Forwarded-Ssl: on", "Front-End-Https: on"],
        # RFC 7239
        ["X-Forwarded-Proto: https", 'Forwarded: for="[2001:db8::7]:1234";host=example.org;proto=https;by=_x'],
        ["X-Scheme: http", "X-Forwarded-Scheme: http", "Forwarded: for=6.6.6.6, for=7.7.7.7"],
    ],
    ids=["ingress-nginx", "traefik", "azure", "forwarded", "plain"],
)
def test_what_usual_proxies_say_of_every_request_is_no_obstacle(lines: list[str]) -> None:
    async def story(site: Site) -> None:
        await site.get("/a", *lines)
        assert (await site.get("/a", *lines))["x-cache"] == "hit"

    on_site(story, MINE, trusted_proxies=(ip_network("203.0.113.0/24"),))


@pytest.mark.parametrize(
    "one, other",
    [
        ("/a/b", "/a%2fb"),
        ("/a%2fb", "/a%2Fb"),
        ("/a", "/A"),
        ("/a", "/a/"),
        ("/a", "/a?"),
        ("/a", "//a"),
        ("/a", "/./a"),
        ("/a", "/b/../a"),
        ("/a", "/a;b"),
        ("/a", "/%61"),
        ("/a?b=1&c=2", "/a?c=2&b=1"),
        ("/a?b", "/a?b="),
        ("/a?b=1;c=2", "/a?b=1&c=2"),
        ("/a?x=%zz", "/a"),
        ("/a?x=1&x=2", "/a?x=2"),
    ],
)
def test_targets_are_different_if_one_byte_is(one: str, other: str) -> None:
    async def story(site: Site) -> None:
        assert (await site.get(one)).body == b"theirs"
        assert (await site.get(other)).body == b"mine"
        assert (await site.get(one)).body == b"theirs"

    on_site(story, THEIRS, MINE)


@pytest.mark.parametrize(
    "host, other",
    [
        ("example.org", "evil.example"),
        ("example.org", "example.org:80"),
        ("example.org", "example.org:3000"),
        ("example.org", "example.org."),
        ("127.0.0.1", "[::1]"),
    ],
)
def test_hosts_are_different_as_the_worker_sees_them(host: str, other: str) -> None:
    async def story(site: Site) -> None:
        assert (await site.get(host=other)).body == b"theirs"
        assert (await site.get(host=host)).body == b"mine"

    on_site(story, THEIRS, MINE)


def test_the_letter_case_of_a_host_reads_but_never_writes() -> None:
    """The worker may repeat it in links, so that only what was asked for in lower case is for all."""

    async def story(site: Site) -> None:
        reply = await site.get(host="Example.ORG")
        assert reply["cache-status"] == "thrust; fwd=uri-miss; detail=host-case"
        assert (await site.get()).body == b"mine"
        assert (await site.get(host="EXAMPLE.org")).body == b"mine"

    on_site(story, THEIRS, MINE)


def test_one_host_and_target_cannot_be_cut_into_another() -> None:
    """No key is made by joining parts (Thruster's `/k?z=1app` of `.com` against `/k?z=1` of `app.com`)."""

    async def story(site: Site) -> None:
        await site.get("/k?z=1app", host=".com")
        assert (await site.get("/k?z=1", host="app.com")).body == b"mine"

    on_site(story, THEIRS, MINE)


def test_http_1_0_without_host_has_a_key_of_its_own() -> None:
    async def story(site: Site) -> None:
        site.stage.client(2).send(b"GET /a HTTP/1.0\r\n\r\n")
        await site.settle()
        assert site.stage.client(2).take().endswith(b"theirs")
        assert (await site.get()).body == b"mine"
        site.stage.client(3).send(b"GET /a HTTP/1.0\r\n\r\n")
        await site.settle()
        assert site.stage.client(3).take().endswith(b"theirs")

    on_site(story, THEIRS, MINE)


def test_an_absolute_target_is_the_same_resource() -> None:
    async def story(site: Site) -> None:
        await site.get()
        assert (await site.get("http://example.org/a"))["x-cache"] == "hit"

    on_site(story, MINE)


# Vary


def test_each_language_has_an_answer_of_its_own() -> None:
    async def story(site: Site) -> None:
        for language in (b"de", b"en"):
            site.answers.append(answer("Cache-Control: max-age=60", "Vary: Accept-Language", body=language))
            await site.get("/a", f"Accept-Language: {language.decode()}")
        for wanted in (["Accept-Language: de"], ["Accept-Language: DE"], ["accept-language:   de  "]):
            assert (await site.get("/a", *wanted)).body == b"de"
        assert (await site.get("/a", "Accept-Language: en", "Cache-Control: max-stale")).body == b"en"
        site.answers.append(answer("Cache-Control: max-age=60", "Vary: Accept-Language", body=b"any"))
        reply = await site.get()
        assert (reply.body, reply["cache-status"]) == (b"any", "thrust; fwd=vary-miss; stored")
        assert (await site.get()).body == b"any"

    on_site(story)


def test_every_line_of_vary_counts() -> None:
    vary = ["Vary: Accept-Encoding", "Vary: X-A, Origin"]

    async def story(site: Site) -> None:
        wanted = [("1", "a"), ("1", "b"), ("2", "a")]
        for number, origin in wanted:
            site.answers.append(answer("Cache-Control: max-age=60", *vary, body=f"{number}{origin}".encode()))
            await site.get("/a", f"X-A: {number}", f"Origin: {origin}")
        for number, origin in wanted:
            reply = await site.get("/a", f"Origin: {origin}", f"X-A: {number}", "Accept-Encoding: x")
            assert (reply.body, reply["x-cache"]) == (f"{number}{origin}".encode(), "hit")

    on_site(story)


def test_lists_are_the_same_however_they_are_written() -> None:
    async def story(site: Site) -> None:
        await site.get("/a", "X-A: a, b")
        for lines in (["X-A: a,b"], ["X-A: a", "X-A: b"], ["X-A: a ,  b"]):
            assert (await site.get("/a", *lines))["x-cache"] == "hit"
        site.answers.append(MINE)
        assert (await site.get("/a", "X-A: b, a"))["x-cache"] == "miss"

    on_site(story, answer("Cache-Control: max-age=60", "Vary: X-A"))


def test_a_cookie_in_vary_keeps_clients_apart() -> None:
    async def story(site: Site) -> None:
        for cookie in ("a=1", "a=2"):
            site.answers.append(answer("Cache-Control: max-age=60", "Vary: Cookie", body=cookie.encode()))
            await site.get("/a", f"Cookie: {cookie}")
        for cookie in ("a=1", "a=2"):
            assert (await site.get("/a", f"Cookie: {cookie}")).body == cookie.encode()
        site.answers.append(answer(body=b"anonymous"))
        assert (await site.get()).body == b"anonymous"

    on_site(story)


def test_an_answer_that_varies_by_something_else_takes_the_place_of_all() -> None:
    async def story(site: Site) -> None:
        await site.get("/a", "X-A: 1")
        await site.get("/a", "X-A: 2", "X-B: 1")
        assert (await site.get("/a", "X-A: 1", "X-B: 1")).body == b"theirs"
        assert (await site.get("/a", "X-A: 2", "X-B: 2")).body == b"mine"

    on_site(
        story,
        answer("Cache-Control: max-age=60", "Vary: X-A"),
        answer("Cache-Control: max-age=60", "Vary: X-B", body=b"theirs"),
        answer("Cache-Control: max-age=60", "Vary: X-B", body=b"mine"),
    )
