"""LineWriter against real pipes, real threads and real processes."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import pytest

from thrust.observe import line_writer
from thrust.observe.line_writer import CHUNK_BYTES, MAX_UNWRITTEN_BYTES, LineWriter

BOUND_S = 20.0


def make_writer(pipe, gather_s=0.0):
    return LineWriter(pipe.write_end, lambda lines: f"lost {lines}", gather_s=gather_s)


def in_time(work: Callable[[], None]) -> None:
    """Runs `work`, which must not wait for a reader: with a stalled one it would never end."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(BOUND_S)
    assert not thread.is_alive(), "stalled"


def run_python(script: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], text=True, timeout=BOUND_S, check=False, **options
    )


# Without a thread


def test_a_line_is_written_before_the_call_returns_when_not_started(pipe):
    make_writer(pipe).write("starting")
    assert not pipe.is_empty()
    assert pipe.read_now() == b"starting\n"


def test_a_line_is_written_before_the_call_returns_after_close(pipe):
    writer = make_writer(pipe)
    writer.start()
    writer.write("running")
    assert writer.close(BOUND_S)
    pipe.read_now()
    writer.write("ending")
    assert not pipe.is_empty()
    assert pipe.read_now() == b"ending\n"


def test_a_line_that_finds_no_reader_in_time_stays_for_later(pipe, monkeypatch):
    monkeypatch.setattr(line_writer, "DIRECT_WAIT_S", 0.01)
    writer = make_writer(pipe)
    pipe.fill()
    in_time(lambda: writer.write("early"))
    pipe.start_reading()
    monkeypatch.setattr(line_writer, "DIRECT_WAIT_S", BOUND_S)
    writer.write("late")
    assert pipe.all_lines() == ["early", "late"]


def test_what_stayed_from_before_the_start_comes_first(pipe, monkeypatch):
    monkeypatch.setattr(line_writer, "DIRECT_WAIT_S", 0.01)
    writer = make_writer(pipe)
    pipe.fill()
    writer.write("early")
    writer.start()
    writer.write("late")
    pipe.start_reading()
    assert writer.close(BOUND_S)
    assert pipe.all_lines() == ["early", "late"]


def test_a_line_longer_than_the_pipe_is_written_directly_as_the_reader_reads(pipe):
    pipe.start_reading()
    make_writer(pipe).write("x" * 200_000)
    assert pipe.all_lines() == ["x" * 200_000]


# With a thread


def test_gathered_lines_come_out_by_themselves(pipe):
    writer = make_writer(pipe, gather_s=0.01)
    writer.start()
    writer.write("one")
    assert pipe.read_now() == b"one\n"
    writer.write("two")
    assert pipe.read_now() == b"two\n"
    assert writer.close(BOUND_S)


def test_lines_are_gathered_and_leave_together(pipe):
    writer = make_writer(pipe, gather_s=BOUND_S)
    writer.start()
    for number in range(100):
        writer.write_or_lose(str(number))
    assert pipe.is_empty()
    assert writer.close(BOUND_S)
    assert pipe.read_now().split() == [b"%d" % number for number in range(100)]


def test_a_full_chunk_does_not_wait_for_the_time(pipe):
    writer = make_writer(pipe, gather_s=10 * BOUND_S)
    writer.start()
    writer.write("first")
    writer.write_or_lose("x" * CHUNK_BYTES)
    writer.write_or_lose("next")
    assert pipe.read_exactly(len("first\nxxx")) == b"first\nxxx"
    pipe.start_reading()
    assert writer.close(BOUND_S)


def test_the_very_first_line_may_be_longer_than_a_chunk(pipe):
    writer = make_writer(pipe, gather_s=10 * BOUND_S)
    writer.start()
    writer.write("x" * (CHUNK_BYTES + 1))
    assert pipe.read_now().startswith(b"xxx")
    pipe.start_reading()
    assert writer.close(BOUND_S)


@pytest.mark.parametrize("is_blocking", [True, False])
def test_a_full_pipe_stalls_nobody_and_loses_nothing_once_it_is_read(pipe, is_blocking):
    os.set_blocking(pipe.write_end, is_blocking)
    writer = make_writer(pipe)
    pipe.fill()
    writer.start()
    lines = [f"{number} " + "x" * 300 for number in range(10_000)]
    in_time(lambda: [writer.write_or_lose(line) for line in lines])
    pipe.start_reading()
    assert writer.close(BOUND_S)
    assert os.get_blocking(pipe.write_end) == is_blocking
    assert pipe.all_lines() == lines


def test_a_full_non_blocking_pipe_is_waited_for_not_hammered(pipe, monkeypatch):
    os.set_blocking(pipe.write_end, False)
    writer = make_writer(pipe)
    pipe.fill()
    writes = []
    monkeypatch.setattr(os, "write", lambda fd, data, write=os.write: (writes.append(fd), write(fd, data))[1])
    writer.start()
    writer.write("one")
    assert not writer.close(0.05)
    thread = writer._thread
    pipe.start_reading()
    assert thread is not None
    thread.join(BOUND_S)
    assert len(writes) == 2
    assert pipe.all_lines() == ["one"]


def test_beyond_the_limit_lines_are_lost_and_counted_but_events_are_not(pipe):
    writer = make_writer(pipe)
    pipe.fill()
    writer.start()
    line = "x" * (CHUNK_BYTES // 2)
    written = 2 * MAX_UNWRITTEN_BYTES // len(line)

    def write_too_much() -> None:
        for number in range(written):
            writer.write_or_lose(line)
            writer.write(f"event {number}")

    in_time(write_too_much)
    assert 0 < writer._unwritten_bytes < MAX_UNWRITTEN_BYTES + 3 * CHUNK_BYTES
    pipe.start_reading()
    assert writer.close(BOUND_S)
    lines = pipe.all_lines()
    lost = sum(int(text.removeprefix("lost ")) for text in lines if text.startswith("lost "))
    assert lost > written // 3
    assert lines.count(line) + lost == written
    assert [text for text in lines if text.startswith("event")] == [f"event {n}" for n in range(written)]


def test_after_a_loss_lines_are_taken_again(pipe):
    writer = make_writer(pipe)
    pipe.fill()
    writer.start()
    while not writer._lost_lines:
        writer.write_or_lose("x" * CHUNK_BYTES)
    pipe.start_reading()
    assert writer.close(BOUND_S)
    writer.start()
    writer.write_or_lose("again")
    assert writer.close(BOUND_S)
    assert pipe.all_lines()[-2:] == ["lost 1", "again"]


def test_lines_of_many_threads_arrive_whole(pipe):
    writer = make_writer(pipe)
    pipe.start_reading()
    writer.start()
    names = ["a", "b", "c", "d"]
    threads = [
        threading.Thread(target=lambda name=name: [writer.write(name * 500) for _ in range(500)]) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.close(BOUND_S)
    assert sorted(pipe.all_lines()) == [name * 500 for name in names for _ in range(500)]


WORKER = """
import os, select
left = 20_000
while left:
    try:
        os.write(1, b"t" * 100 + b"\\n")
        left -= 1
    except BlockingIOError:
        select.select([], [1], [])
"""


@pytest.mark.parametrize("is_blocking", [True, False])
def test_lines_of_the_worker_never_get_into_ours(pipe, is_blocking):
    """The worker has the same pipe as its stdout, and the reader cannot keep up with both."""
    os.set_blocking(pipe.write_end, is_blocking)
    writer = make_writer(pipe)
    pipe.fill()
    worker = subprocess.Popen([sys.executable, "-c", WORKER], stdout=pipe.write_end)
    writer.start()
    for _ in range(10_000):
        writer.write_or_lose("o" * 300)
    pipe.start_reading(piece_bytes=1000)
    assert writer.close(BOUND_S)
    assert worker.wait(BOUND_S) == 0
    lines = pipe.all_lines()
    assert set(lines) == {"o" * 300, "t" * 100}
    assert len(lines) == 30_000


def test_without_a_thread_to_be_had_lines_are_written_directly(pipe, monkeypatch):
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    writer = make_writer(pipe)
    writer.start()
    monkeypatch.setattr(threading.Thread, "start", fail)
    writer.write("one")
    assert not pipe.is_empty()
    writer.write_or_lose("two")
    monkeypatch.undo()
    assert pipe.all_lines() == ["one", "two"]


def test_its_repr_tells_the_state(pipe):
    writer = make_writer(pipe, gather_s=BOUND_S)
    assert repr(writer) == "<LineWriter direct, 0 bytes waiting, 0 lines lost>"
    writer.start()
    writer.write("four")
    assert repr(writer) == "<LineWriter gathering, 5 bytes waiting, 0 lines lost>"
    assert writer.close(BOUND_S)


# Nobody reads


@pytest.mark.parametrize("is_started", [True, False])
def test_a_reader_that_is_gone_is_survived(pipe, is_started):
    pipe.close_read_end()
    writer = make_writer(pipe)
    if is_started:
        writer.start()
    for _ in range(1000):
        writer.write("x" * 100)
    assert writer.close(BOUND_S)
    writer.write("the end")


def test_a_reader_that_goes_while_the_pipe_is_full_is_survived(pipe):
    writer = make_writer(pipe)
    pipe.fill()
    writer.start()
    writer.write("x" * 100_000)
    pipe.close_read_end()
    assert writer.close(BOUND_S)


def test_close_gives_up_on_a_reader_that_does_not_come_back(pipe):
    writer = make_writer(pipe)
    pipe.fill()
    writer.start()
    writer.write("stuck")
    assert not writer.close(0.01)
    in_time(lambda: [writer.write("late") for _ in range(1000)])
    assert "given up" in repr(writer)
    assert not writer.close(0.01)
    writer.start()
    thread = writer._thread
    pipe.start_reading()
    assert thread is not None
    thread.join(BOUND_S)
    assert pipe.all_lines() == ["stuck"]


def test_a_stdout_that_was_closed_from_the_start_gets_nothing_even_if_its_number_is_used_again(pipe):
    number = os.dup(pipe.write_end)
    os.close(number)
    writer = LineWriter(number, str)
    os.dup2(pipe.write_end, number)
    try:
        writer.write("one")
        writer.start()
        writer.write_or_lose("two")
        assert not writer.close(BOUND_S)
    finally:
        os.close(number)
    assert pipe.all_lines() == []


def test_a_stdout_that_is_closed_later_is_survived(pipe):
    writer = make_writer(pipe)
    writer.start()
    pipe.close_write_end()
    writer.write("x")
    assert writer.close(BOUND_S)


# At the end of a process

PROLOGUE = """
from thrust.observe.line_writer import LineWriter
writer = LineWriter(1, str)
writer.start()
for number in range(10_000):
    writer.write_or_lose(f"{number} " + "x" * 100)
"""


def test_nothing_is_lost_when_the_process_ends():
    done = run_python(PROLOGUE + "assert writer.close(10)", stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"{number} " + "x" * 100 for number in range(10_000)]


def test_a_stuck_stdout_does_not_keep_the_process_from_ending(pipe):
    done = run_python(
        PROLOGUE + "assert not writer.close(0.05)\nwriter.write('end')\nraise SystemExit(7)",
        stdout=pipe.write_end,
        stderr=subprocess.PIPE,
    )
    assert (done.returncode, done.stderr) == (7, "")


def test_a_process_without_stdout_runs_and_ends(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(PROLOGUE + "writer.close(10)\nraise SystemExit(7)")
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" "$1" >&-', sys.executable, script],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
        stderr=subprocess.PIPE,
        timeout=BOUND_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (7, b"")
