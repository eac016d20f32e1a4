"""A file that is not sent is told to the log once, whether requests are logged or not."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.e2e_thrust import Record, Thrust, running_thrust

pytestmark = pytest.mark.slow

NAMES = ["report.pdf", "missing.pdf", "/etc/passwd", "folder", "fifo"]
REASONS = ["there is no such file", "it is not beneath a folder that may be sent from", "it is a folder"]
REASONS += ["it is not a regular file"]

SILENT = {"LOG_REQUESTS": "0"}
EXCLUDED = {"THRUST_LOG_EXCLUDE": "/files/*"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "report.pdf").write_bytes(b"report")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    static = tmp_path / "static"
    static.mkdir()
    (static / "out.js").symlink_to("/etc/passwd")
    (static / ".env").write_text("hidden")
    yield tmp_path


def ask_for_all(thrust: Thrust) -> None:
    thrust.wait_until_ready()
    with thrust.connect() as client:
        for name in NAMES:
            assert client.get(f"/files/x?{name}", ("X-Request-ID", f"the-{name.strip('/')}")).status in (200, 404)


def settings(folder: Path, **env: str) -> dict[str, str]:
    return {"THRUST_SEND_FILE_ROOT": str(folder), **env}


@pytest.mark.parametrize("silence", [SILENT, EXCLUDED], ids=["none logged", "path excluded"])
def test_a_refused_file_is_an_event_where_its_request_has_no_line(folder: Path, silence: dict[str, str]) -> None:
    with running_thrust(["file_namer:application"], env=settings(folder, **silence)) as thrust:
        ask_for_all(thrust)
        assert thrust.stop() == 0
        told = [event for event in thrust.events() if event["msg"] == "file refused"]
        assert not thrust.requests()
    assert [event["level"] for event in told] == ["WARN"] * 4
    assert [event["path"] for event in told] == ["/files/x"] * 4
    assert all(event["request_id"] for event in told)
    expected = [f"cannot send the file {name!r}: {why}" for name, why in zip(NAMES[1:], REASONS, strict=True)]
    assert [event["error"] for event in told] == expected


def test_a_refused_file_is_told_in_the_line_of_its_request_alone(folder: Path) -> None:
    with running_thrust(["file_namer:application"], env=settings(folder)) as thrust:
        ask_for_all(thrust)
        assert thrust.stop() == 0
        assert not [event for event in thrust.events() if event["msg"] == "file refused"]
        told = [line.get("error", "") for line in thrust.requests()]
    assert [error.rpartition(": ")[2] for error in told] == ["", *REASONS]


def test_what_strangers_make_up_is_no_event(folder: Path) -> None:
    """A link that leads out is the operator's; a name with a dot, or of nothing, is whatever a scanner tries."""
    env = settings(folder, **SILENT, THRUST_STATIC=f"/static:{folder / 'static'}")
    with running_thrust(["file_namer:application"], env=env) as thrust:
        thrust.wait_until_ready()
        with thrust.connect() as client:
            for name in ("out.js", ".env", "missing.js"):
                client.get(f"/static/{name}?report.pdf")
        assert thrust.stop() == 0
        told: list[Record] = [event for event in thrust.events() if event["msg"] == "file refused"]
    assert [event["path"] for event in told] == ["/static/out.js"]
