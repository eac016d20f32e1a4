"""The chain, made of settings about files: what is refused at the start, and what never keeps thrust from starting."""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.memory_requests import no_refusal
from thrust.config import Config
from thrust.errors import ConfigError
from thrust.handlers import chain
from thrust.handlers.errors import ErrorPages
from thrust.upstream.pool import Pool


def build(**settings: Any) -> chain.Chain:
    import asyncio

    loop = asyncio.new_event_loop()
    try:
        pool, pages = Pool(loop, answer_timeout_s=1), ErrorPages(Path("502.html"))
        return chain.build(Config(**settings), pool, pages, print, no_refusal)
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"static": (("/static", Path("{missing}")),)}, "THRUST_STATIC"),
        ({"send_file_roots": (Path("{missing}"),)}, "THRUST_SEND_FILE_ROOT"),
        (
            {"send_file_header": "X-Accel-Redirect", "send_file_mapping": (("/p/", Path("{missing}")),)},
            "THRUST_SEND_FILE_MAPPING",
        ),
    ],
)
@pytest.mark.parametrize("is_file", [False, True])
def test_a_folder_that_is_not_there_ends_the_start_with_the_name_of_the_setting(
    tmp_path: Path, settings: dict[str, Any], name: str, is_file: bool
) -> None:
    missing = tmp_path / "missing"
    if is_file:
        missing.write_text("no folder")

    def placed(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(placed, value))
        return missing if value == Path("{missing}") else value

    with pytest.raises(ConfigError) as refused:
        build(**{key: placed(value) for key, value in settings.items()})
    reason = "not a directory" if is_file else "no such file or directory"
    assert str(refused.value).startswith(name)
    assert str(refused.value).endswith(f"cannot send files from {str(missing)!r}: {reason}")


@pytest.mark.parametrize("header", ["X-Sendfile", "X-Accel-Redirect"])
def test_a_working_directory_that_is_gone_is_no_reason_not_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    build(send_file_header=header, bad_gateway_page=Path("/502.html"))


def test_a_working_directory_out_of_reach_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    # As /root/app is to another user, who was put there: its name is known, and leads nowhere for that user.
    monkeypatch.setattr(os, "getcwdb", lambda: b"/nobody/gets/here")
    build()


@pytest.mark.parametrize("settings", [{"send_file_header": None}, {"send_file_mapping": (("/p/", Path("/missing")),)}])
def test_what_is_off_needs_no_folder(settings: dict[str, Any]) -> None:
    if settings.get("send_file_header", "") is None:
        settings = settings | {"send_file_roots": (Path("/missing"),)}
    build(**settings)
