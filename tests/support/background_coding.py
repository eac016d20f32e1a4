"""The background thread that makes the best codings, in conversations: it works when it is told to, on the loop."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from tests.support.clock import JumpingLoop
from thrust.cache import serving
from thrust.cache.recoding import OnDone
from thrust.cache.stored import StoredResponse
from thrust.coding.codings import compress_best
from thrust.http.negotiation import IDENTITY

Job = tuple[StoredResponse, bytes, OnDone]


class CoderOnDemand:
    """Has the interface of BackgroundCoder; jobs wait for `work`."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, stored: StoredResponse, coding: bytes, on_done: OnDone) -> None:
        self.jobs.append((stored, coding, on_done))

    def work(self) -> None:
        """Does everything that waits."""
        jobs, self.jobs = self.jobs, []
        for stored, coding, on_done in jobs:
            on_done(stored, coding, compress_best(coding, stored.renditions[IDENTITY].body))


@contextmanager
def coding_on_demand(coder: CoderOnDemand) -> Iterator[None]:
    """Lets the cache hand its background work to `coder`."""

    def coder_of(loop: JumpingLoop) -> CoderOnDemand:
        return coder

    with patch.object(serving, "BackgroundCoder", coder_of):
        yield
