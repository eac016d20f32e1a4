"""Probes reach the worker with a Host that it knows, and hear at once that there is none."""

import asyncio

import pytest

from tests.support.memory_requests import Following, make_request
from thrust.errors import UpstreamError
from thrust.handlers.health import Health, is_internal_name
from thrust.handlers.identify import Identify
from thrust.http.message import Request
from thrust.upstream.pool import Pool

INTERNAL = [
    b"localhost",
    b"localhost:3000",
    b"web",
    b"web-3f2a7c:3000",
    b"10.0.0.5",
    b"10.0.0.5:3000",
    b"127.0.0.1:80",
    b"[::1]",
    b"[::1]:3000",
    b"[fd00::7]:3000",
    b"",
]
PUBLIC = [
    b"example.org",
    b"example.org:3000",
    b"www.example.org",
    b"web.default.svc.cluster.local",
    b"10.0.0.5.nip.io",
    b"1.2.3",
    b"example.org:",
]


@pytest.mark.parametrize("authority", INTERNAL)
def test_addresses_and_names_without_a_dot_are_internal(authority: bytes) -> None:
    assert is_internal_name(authority)


@pytest.mark.parametrize("authority", PUBLIC)
def test_real_names_are_not(authority: bytes) -> None:
    assert not is_internal_name(authority)


def probed(target: bytes, authority: bytes, *, has_worker: bool = True) -> Request:
    """The request as it leaves Health."""

    async def story() -> Request:
        pool = Pool(asyncio.get_running_loop(), answer_timeout_s=1)
        if has_worker:
            pool.open(3001)
        following = Following()
        handler = Identify(Health(following, following, pool, path="/up"), trusts_clients=True, proxies=())
        await handler(make_request(target, authority=authority))
        return following.requests[0]

    return asyncio.run(story())


@pytest.mark.parametrize("target", [b"/up", b"/up?verbose"])
def test_a_probe_for_an_address_becomes_one_for_localhost(target: bytes) -> None:
    request = probed(target, b"10.0.0.5:3000")
    assert request.authority == b"localhost"
    assert request.origin is not None and request.origin.host == b"localhost"
    assert request.exchange.host == ""


def test_a_probe_for_a_real_name_is_left_alone() -> None:
    assert probed(b"/up", b"example.org").authority == b"example.org"


@pytest.mark.parametrize("target", [b"/", b"/upload", b"/up/", b"/UP", b"/?/up"])
def test_any_other_path_is_left_alone(target: bytes) -> None:
    assert probed(target, b"10.0.0.5:3000").authority == b"10.0.0.5:3000"
    assert probed(target, b"10.0.0.5:3000", has_worker=False).target == target


def test_a_probe_without_a_worker_is_refused_and_told_when_to_come_again() -> None:
    with pytest.raises(UpstreamError, match="the worker is not ready: it is still booting") as raised:
        probed(b"/up", b"10.0.0.5:3000", has_worker=False)
    assert (raised.value.status, raised.value.retry_after_s) == (503, 2)
