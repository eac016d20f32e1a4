"""Whose turn it is to send, and how much of it."""

from typing import cast

import pytest

from thrust.server.http2_sending import FRAMES_PER_TURN, Sender
from thrust.wire.http2.engine import Engine
from thrust.wire.http2.frames import MAX_FRAME_BYTES

PLENTY_BYTES = 1 << 30
TURN_BYTES = FRAMES_PER_TURN * MAX_FRAME_BYTES


class Windows:
    """What a sender asks of the engine, with windows that are never in the way."""

    sendable_on_connection_bytes = PLENTY_BYTES

    def sendable_bytes(self, stream_id: int) -> int:
        return PLENTY_BYTES

    stream_window_bytes = sendable_bytes


class Download:
    """A stream that has a lot to send, and notes when it does."""

    def __init__(self, number: int, turns: list[int], *, urgency: int = 3, is_incremental: bool = False) -> None:
        self.id = number
        self.urgency = urgency
        self.is_incremental = is_incremental
        self.is_queued = False
        self.waiting_bytes = 2 * TURN_BYTES
        self._turns = turns

    def send(self, size_bytes: int) -> None:
        self.waiting_bytes -= size_bytes
        self._turns.append(self.id)


def in_turns(*numbers: int, frames: int) -> list[int]:
    return [number for number in numbers for _ in range(frames)]


@pytest.mark.parametrize(("is_incremental", "frames"), [(False, FRAMES_PER_TURN), (True, 1)])
def test_streams_of_the_same_urgency_take_turns(is_incremental: bool, frames: int) -> None:
    turns: list[int] = []
    sender = Sender(cast(Engine, Windows()))
    for number in (1, 3, 5):
        sender.offer(Download(number, turns, is_incremental=is_incremental))
    sender.fill(PLENTY_BYTES)
    assert turns == in_turns(1, 3, 5, frames=frames) * (2 * FRAMES_PER_TURN // frames)
    assert sender.is_empty


def test_the_urgent_go_first_whenever_they_came() -> None:
    turns: list[int] = []
    sender = Sender(cast(Engine, Windows()))
    for number, urgency in ((1, 7), (3, 3), (5, 0)):
        sender.offer(Download(number, turns, urgency=urgency))
    sender.fill(PLENTY_BYTES)
    assert turns == in_turns(5, 3, 1, frames=2 * FRAMES_PER_TURN)


def test_who_has_had_no_turn_when_the_room_is_used_up_has_the_next() -> None:
    turns: list[int] = []
    sender = Sender(cast(Engine, Windows()))
    first, second = Download(1, turns), Download(3, turns)
    sender.offer(first)
    sender.offer(second)
    sender.fill(TURN_BYTES)
    sender.fill(TURN_BYTES)
    assert turns == in_turns(1, 3, frames=FRAMES_PER_TURN)
    sender.withdraw(first)
    sender.fill(PLENTY_BYTES)
    assert turns == in_turns(1, 3, 3, frames=FRAMES_PER_TURN)
    assert sender.is_empty and not sender.is_ready
