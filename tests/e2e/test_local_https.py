"""THRUST_TLS=local as a developer gets it: one variable, one command, and no browser complains."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support import chromium
from tests.support.e2e_client import BOUND_S
from tests.support.e2e_thrust import Thrust, python, running_thrust, uvicorn

pytestmark = pytest.mark.slow


@pytest.fixture
def local(tmp_path: Path, loop_name: str) -> Iterator[Thrust]:
    environ = {"THRUST_TLS": "local", "XDG_DATA_HOME": str(tmp_path)}
    with running_thrust(uvicorn(), env=environ, loop=loop_name) as thrust:
        thrust.wait_until_ready()
        yield thrust
        thrust.stop()


def curl(*arguments: str) -> str:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", *arguments], capture_output=True, text=True, timeout=BOUND_S
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "app.localhost"])
def test_who_trusts_the_authority_gets_answers(local: Thrust, tmp_path: Path, host: str) -> None:
    authority = str(tmp_path / "thrust" / "local-ca.pem")
    resolve = f"{host}:{local.port}:127.0.0.1"
    url = f"https://{host}:{local.port}/up"
    assert "hello" in curl("--cacert", authority, "--resolve", resolve, url)
    assert "SSL certificate problem" in curl("--resolve", resolve, url)


def test_the_log_says_the_url_and_how_to_trust(local: Thrust) -> None:
    assert local.wait_for_event("listening")["url"] == f"https://localhost:{local.port}"
    assert local.wait_for_event("to have Firefox")
    assert "308" in curl("--include", f"http://localhost:{local.port}/")


def test_the_list_of_certificates_says_how_to_trust(local: Thrust, tmp_path: Path) -> None:
    environ = os.environ | {"THRUST_TLS": "local", "XDG_DATA_HOME": str(tmp_path)}
    listed = subprocess.run(
        python("-m", "thrust", "--certs"), env=environ, capture_output=True, text=True, timeout=BOUND_S
    )
    assert str(tmp_path / "thrust" / "local-ca.pem") in listed.stdout
    assert "to have Firefox trust it" in listed.stdout


@pytest.mark.skipif(not chromium.IS_THERE, reason="needs Chromium and certutil")
@pytest.mark.parametrize("host", ["localhost", "app.localhost", "127.0.0.1"])
def test_chromium_shows_no_warning_once_it_trusts(tmp_path: Path, host: str) -> None:
    """By the command that the log recommends."""
    environ = {"THRUST_TLS": "local", "XDG_DATA_HOME": str(tmp_path)}
    home = os.environ | {"HOME": str(tmp_path)}
    with running_thrust(uvicorn(), env=environ) as thrust:
        thrust.wait_until_ready()
        url = f"https://{host}:{thrust.port}/up"
        assert "hello from" not in page(url, home, tmp_path / "doubting")
        command = thrust.wait_for_event("to have Chrome and Chromium (certutil is in libnss3-tools or nss-tools)")[
            "command"
        ]
        chromium.trust(command, tmp_path)
        assert "hello from" in page(url, home, tmp_path / "trusting")
        thrust.stop()


def page(url: str, environ: Mapping[str, str], profile: Path) -> str:
    """What Chromium shows at `url`."""
    done = subprocess.run(
        [
            chromium.PROGRAM,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"),
            *("--no-proxy-server", f"--user-data-dir={profile}", "--timeout=10000"),
            url,
        ],
        env=environ,
        capture_output=True,
        text=True,
        timeout=2 * BOUND_S,
    )
    return done.stdout
