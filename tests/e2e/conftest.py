"""Fixtures of the end-to-end tests: the loops, and an app that many tests share."""

from collections.abc import Iterator

import pytest

from tests.support.e2e_client import Client
from tests.support.e2e_thrust import LOOPS, Thrust, raw_worker, running_thrust, uvicorn


@pytest.fixture(params=LOOPS)
def loop_name(request: pytest.FixtureRequest) -> str:
    """The event loop that thrust runs on; stock asyncio is got by hiding uvloop."""
    return str(request.param)


@pytest.fixture(scope="module", params=LOOPS)
def app(request: pytest.FixtureRequest) -> Iterator[Thrust]:
    """thrust in front of uvicorn, ready; shared by the tests of a module, which leave it as they found it."""
    with running_thrust(uvicorn(), loop=request.param) as thrust:
        thrust.wait_until_ready()
        yield thrust
        assert thrust.process.poll() is None
        assert not [event for event in thrust.events() if event["level"] == "ERROR"]


@pytest.fixture(scope="module", params=LOOPS)
def raw(request: pytest.FixtureRequest) -> Iterator[Thrust]:
    """thrust in front of the worker that speaks HTTP by hand, ready; shared like `app`."""
    with running_thrust(raw_worker(), loop=request.param) as thrust:
        thrust.wait_until_ready()
        yield thrust
        assert thrust.process.poll() is None


@pytest.fixture
def client(app: Thrust) -> Iterator[Client]:
    with app.connect() as client:
        yield client
