"""The background thread that makes the best codings, in conversations: it works when it is told to, on the loop."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch
from weakref import ref

from thrust.cache import serving
from thrust.cache.recoding import BackgroundCoder, OnDone
from thrust.cache.stored import StoredResponse


class CoderOnDemand(BackgroundCoder):
    """A BackgroundCoder whose jobs wait for `work`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.jobs: list[tuple[ref[StoredResponse], bytes, OnDone]] = []

    def submit(self, stored: StoredResponse, coding: bytes, on_done: OnDone) -> None:
        self.jobs.append((ref(stored), coding, on_done))

    @property
    def codings(self) -> list[bytes]:
        """What waits."""
        return [coding for _, coding, _ in self.jobs]

    def work(self) -> None:
        """Does everything that waits; the event loop hears of it in its next turn."""
        jobs, self.jobs = self.jobs, []
        for stored, coding, on_done in jobs:
            self._do(stored, coding, on_done)


@contextmanager
def coding_on_demand(coder: CoderOnDemand) -> Iterator[None]:
    """Lets the cache hand its background work to `coder`."""

    def coder_of(loop: asyncio.AbstractEventLoop) -> CoderOnDemand:
        return coder

    with patch.object(serving, "BackgroundCoder", coder_of):
        yield
