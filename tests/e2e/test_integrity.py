"""What goes through thrust arrives unchanged: 10,000 requests, 10 WebSockets with 1,000 messages each.

Bodies are cut from a pool of random bytes, sizes, framing and splits are random, too; every body is checked by its
receiver, in both directions. The seeds are fixed: a failure comes again.
"""

import asyncio
import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.e2e_client import BOUND_S, Client
from tests.support.e2e_thrust import Thrust, running_thrust, uvicorn

pytestmark = pytest.mark.slow

POOL = random.Random(1).randbytes(1 << 21)
"""The same as in apps/asgi_app.py."""

CONNECTIONS = 8
SOCKETS = 10

SIZES = (0, 1, 100, 1_000, 4_000, 16_000, 65_536, 1_000_000)
SIZE_WEIGHTS = (5, 2, 30, 30, 20, 10, 2, 1)
"""Upper bounds of sizes, and how often each is chosen: mostly small, now and then up to 1 MB."""

MESSAGE_SIZES = (0, 125, 126, 2_000, 65_535, 200_000)
MESSAGE_WEIGHTS = (5, 50, 10, 30, 4, 1)


def some_bytes(chance: random.Random) -> bytes:
    size = chance.randint(0, chance.choices(SIZES, SIZE_WEIGHTS)[0])
    at = chance.randrange(len(POOL) - size)
    return POOL[at : at + size]


def split(body: bytes, chance: random.Random) -> list[bytes]:
    """`body` in up to six pieces, none of them empty."""
    cuts = sorted({0, len(body), *(chance.randint(0, len(body)) for _ in range(chance.randrange(6)))})
    return [body[begin:end] for begin, end in zip(cuts, cuts[1:], strict=False)]


def exchange(client: Client, chance: random.Random) -> bool:
    """Send one random request and check its answer; whether the connection goes on."""
    body, size = some_bytes(chance), chance.randint(0, chance.choices(SIZES, SIZE_WEIGHTS)[0])
    at, pieces = chance.randrange(len(POOL) - size), chance.randint(1, 5)
    target = f"/digest?at={at}&size={size}&pieces={pieces}" + chance.choice(["", "&fixed"])
    digest = ("X-Digest", hashlib.sha256(body).hexdigest())
    if chance.random() < 0.5:
        client.send_request("POST", target, digest, chunks=split(body, chance))
    else:
        head = client.head("POST", target, digest, ("Content-Length", str(len(body))))
        client.send(*split(head, chance), *split(body, chance))
    answer = client.receive()
    assert answer.status == 200, answer.body
    assert len(answer.body) == size
    assert hashlib.sha256(answer.body).hexdigest() == answer.get("x-digest")
    assert answer.body == POOL[at : at + size]
    assert not client.rest
    return not answer.ends_connection


def converse(thrust: Thrust, seed: int, count: int) -> int:
    """`count` exchanges, on as few connections as thrust allows; returns how many that were."""
    chance = random.Random(seed)
    connections = 0
    while count:
        connections += 1
        with thrust.connect() as client:
            goes_on = True
            while goes_on and count:
                goes_on = exchange(client, chance)
                count -= 1
    return connections


@pytest.mark.parametrize(("loop_name", "requests"), [("uvloop", 10_000), ("asyncio", 4_000)])
def test_thousands_of_requests_of_random_sizes_arrive_unchanged_both_ways(loop_name: str, requests: int) -> None:
    with running_thrust(uvicorn(), loop=loop_name) as thrust, ThreadPoolExecutor(CONNECTIONS) as threads:
        thrust.wait_until_ready()
        share = requests // CONNECTIONS
        results = [threads.submit(converse, thrust, seed, share) for seed in range(CONNECTIONS)]
        assert [result.result() for result in results] == [1] * CONNECTIONS
        thrust.wait_for_request(requests, path="/digest", status=200)
        assert [record for record in thrust.requests() if "error" in record] == []


async def talk(port: int, seed: int, messages: int) -> None:
    """Messages to an app that sends each back; many of them are under way at any time."""
    chance = random.Random(seed)
    sent: asyncio.Queue[str | bytes] = asyncio.Queue(maxsize=chance.choice([1, 10, 100]))
    patient = partial(connect, open_timeout=BOUND_S, close_timeout=BOUND_S, max_size=None)
    async with patient(f"ws://127.0.0.1:{port}/") as socket, asyncio.TaskGroup() as tasks:
        tasks.create_task(listen(socket, sent, messages))
        for _ in range(messages):
            size = chance.randint(0, chance.choices(MESSAGE_SIZES, MESSAGE_WEIGHTS)[0])
            at = chance.randrange(len(POOL) - size)
            body = POOL[at : at + size]
            message = body.decode("latin-1") if chance.random() < 0.3 else body
            await sent.put(message)
            await socket.send(message)


async def listen(socket: ClientConnection, sent: "asyncio.Queue[str | bytes]", messages: int) -> None:
    for _ in range(messages):
        assert await socket.recv() == await sent.get()


async def talk_on_all(port: int, messages: int) -> None:
    async with asyncio.TaskGroup() as tasks:
        for seed in range(SOCKETS):
            tasks.create_task(talk(port, seed, messages))


@pytest.mark.parametrize(("loop_name", "messages"), [("uvloop", 1_000), ("asyncio", 400)])
def test_ten_websockets_echo_hundreds_of_messages_each(loop_name: str, messages: int) -> None:
    with running_thrust(uvicorn(), loop=loop_name) as thrust:
        thrust.wait_until_ready()
        asyncio.run(asyncio.wait_for(talk_on_all(thrust.port, messages), BOUND_S))
        thrust.wait_for_request(SOCKETS, path="/", status=101)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
def test_the_close_code_of_the_app_reaches_the_client(app: Thrust, code: int) -> None:
    async def story() -> None:
        async with asyncio.timeout(BOUND_S), connect(f"ws://127.0.0.1:{app.port}/") as socket:
            await socket.send(f"close {code}")
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (code, "as you like")

    asyncio.run(story())


@pytest.mark.parametrize("code", [1000, 1001, 3001, 4998])
def test_the_close_code_of_the_client_reaches_the_app(app: Thrust, code: int) -> None:
    async def story() -> None:
        async with asyncio.timeout(BOUND_S), connect(f"ws://127.0.0.1:{app.port}/") as socket:
            await socket.close(code)

    asyncio.run(story())
    with app.connect() as client:
        assert client.get(f"/wait?closed%20{code}").status == 200
