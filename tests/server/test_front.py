"""What connections share: the date, the count of exchanges under way, the observers."""

import asyncio

import pytest

from thrust.errors import BadMessage
from thrust.http.exchange import Exchange
from thrust.http.headers import Headers
from thrust.http.message import Request, Response
from thrust.server.front import Front, Timeouts


async def no_handler(request: Request) -> Response:
    raise NotImplementedError


def make_front(*seen: list[Exchange]) -> Front:
    return Front(
        handler=no_handler,
        observers=[one.append for one in seen],
        timeouts=Timeouts(1, 1, 1),
        error_response=lambda error: Response(500, Headers()),
    )


def test_a_date_is_made_once_a_second() -> None:
    front = make_front()
    first = front.date(1_800_000_000.1)
    assert first == b"Fri, 15 Jan 2027 08:00:00 GMT"
    assert front.date(1_800_000_000.9) is first
    assert front.date(1_800_000_001.0) == b"Fri, 15 Jan 2027 08:00:01 GMT"
    assert front.date(1_800_000_000.0) == first


@pytest.mark.parametrize(("scheme", "expected"), [(b"https", [b"max-age=600"]), (b"http", [])])
def test_what_no_handler_sees_says_over_tls_only_how_long_to_insist_on_it(scheme: bytes, expected: list[bytes]) -> None:
    front = make_front()
    front.strict_lines = [(b"strict-transport-security", b"max-age=600")]
    for _ in range(2):
        response = front.refusal(BadMessage("no"), scheme)
        assert response.headers.get_all(b"strict-transport-security") == expected


class Guest:
    """A connection that is busy as long as it is told to be."""

    def __init__(self) -> None:
        self.is_busy = True

    def drain(self) -> None:
        raise AssertionError("nobody asked for it")

    abort = drain

    def end_stream(self, *, also_tunnel: bool = False) -> None:
        self.drain()


def test_it_is_quiet_when_the_last_connection_is_busy_no_longer() -> None:
    async def story() -> None:
        front = make_front()
        await front.quiet()
        guests = [Guest(), Guest()]
        assert all(front.admit(guest) for guest in guests)
        waiting = [asyncio.get_running_loop().create_task(front.quiet()) for _ in range(2)]
        await asyncio.sleep(0)
        guests[0].is_busy = False
        front.notify()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert front.busy == 1 and not any(task.done() for task in waiting)
        front.dismiss(guests[1])
        await asyncio.wait_for(asyncio.gather(*waiting), 20)

    asyncio.run(story())


def test_a_connection_that_becomes_busy_meanwhile_is_waited_for_too() -> None:
    async def story() -> None:
        front = make_front()
        early, late = Guest(), Guest()
        front.admit(early)
        waiting = asyncio.get_running_loop().create_task(front.quiet())
        await asyncio.sleep(0)
        front.dismiss(early)
        front.admit(late)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
        front.dismiss(late)
        await asyncio.wait_for(waiting, 20)

    asyncio.run(story())


def test_all_observers_see_a_finished_exchange() -> None:
    one: list[Exchange] = []
    other: list[Exchange] = []
    exchange = Exchange("127.0.0.1", 0.0, 0.0)
    make_front(one, other).finish(exchange)
    assert one == other == [exchange]
    assert exchange.finished_s > 0
