"""The command line, mostly as a user meets it: a process, its output and its exit code."""

import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

import thrust
from tests.support.ports import free_port
from thrust.cli import main, worker_command
from thrust.config import SETTINGS, Config
from thrust.errors import ConfigError, ListenError, WorkerNotStarted

ROOT = Path(thrust.__file__).parent.parent
ANSWER_LIMIT_S = 20.0


def free_ports() -> dict[str, str]:
    """What lets a command start, whoever else runs on this machine."""
    return {"PORT": "0", "THRUST_WORKER_PORT": str(free_port())}


def run(*words: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """`thrust *words` with no variables but `environ`."""
    return subprocess.run(
        [sys.executable, "-m", "thrust", *words],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **(environ or {})},
        capture_output=True,
        text=True,
        timeout=ANSWER_LIMIT_S,
        check=False,
    )


def columns(output: str) -> dict[str, list[str]]:
    """The lines of --print-config, by setting."""
    return {name: rest for name, *rest in (line.split(maxsplit=2) for line in output.splitlines())}


# --- Options of ours --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_names_every_setting_with_its_meaning_and_default(option: str) -> None:
    result = run(option)
    assert (result.returncode, result.stderr) == (0, "")
    text = " ".join(result.stdout.split())
    for setting in SETTINGS.values():
        assert f" {setting.name} {setting.meaning} [" in text
        assert setting.thruster in text
    assert "HTTP_IDLE_TIMEOUT a client's connection without a request is kept so long; 0: no limit [120s] " in text
    assert "THRUST_WORKER_PORT port of the worker on 127.0.0.1 [3001, also TARGET_PORT] " in text


def test_help_tells_exit_codes_and_examples_apart_from_the_settings() -> None:
    output = run("--help").stdout
    assert output.startswith("Usage: thrust [OPTIONS] COMMAND [ARGS]...\n")
    assert "\nExit codes:\n  0-255     the worker's own" in output
    assert "\n  thrust uvicorn main:app --port '$THRUST_WORKER_PORT'\n" in output


def test_help_marks_what_has_no_effect_yet() -> None:
    text = " ".join(run("--help").stdout.split())
    assert text.count("No effect yet.") == sum(bool(setting.pending) for setting in SETTINGS.values())
    assert "status page, on loopback unless written host:port [off] No effect yet." in text


def test_version() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, f"thrust {thrust.__version__}\n")


def test_print_config_shows_each_setting_its_value_and_where_it_comes_from() -> None:
    environ = {"TARGET_PORT": "4000", "HTTP_PORT": "80", "THRUSTER_CACHE_SIZE": "1048576"}
    environ["THRUST_ADMIN_PORT"] = "9090"
    result = run("--print-config", environ=environ)
    assert result.returncode == 0
    shown = columns(result.stdout)
    assert shown.pop("SETTING") == ["VALUE", "FROM"]
    assert shown.keys() == {setting.name for setting in SETTINGS.values()}
    assert shown["PORT"] == ["80", "HTTP_PORT"]
    assert shown["THRUST_WORKER_PORT"] == ["4000", "TARGET_PORT"]
    assert shown["CACHE_SIZE"] == ["1MB", "THRUSTER_CACHE_SIZE"]
    assert shown["HTTP_IDLE_TIMEOUT"] == ["120s", "default"]
    assert "thrust: warning: THRUST_ADMIN_PORT has no effect yet" in result.stderr


def test_print_config_hides_secrets() -> None:
    result = run("--print-config", environ={"EAB_KID": "kid", "EAB_HMAC_KEY": "c2VjcmV0"})
    assert columns(result.stdout)["EAB_HMAC_KEY"] == ["(hidden)", "EAB_HMAC_KEY"]
    assert "c2VjcmV0" not in result.stdout + result.stderr


def test_print_config_survives_a_value_that_is_not_text() -> None:
    result = run("--print-config", environ={"STORAGE_PATH": "/a\udcff"})
    assert columns(result.stdout)["STORAGE_PATH"] == [r"'/a\udcff'", "STORAGE_PATH"]


def test_print_config_into_a_closed_pipe_ends_without_a_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "thrust", "--print-config"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, env=environ, timeout=ANSWER_LIMIT_S, check=False
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, b"")


def test_check_accepts_good_settings_with_their_warnings() -> None:
    result = run("--check", environ={"TARGET_PORT": "4000"})
    assert (result.returncode, result.stdout) == (0, "thrust: all settings are valid\n")
    assert result.stderr.startswith("thrust: warning: TARGET_PORT is set, but no port to listen on")


def test_check_refuses_bad_settings_a_line_each() -> None:
    result = run("--check", environ={"PORT": "http", "DEBUG": "maybe"})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines() == [
        "thrust: PORT is 'http', but must be a port from 1 to 65535, or 0 for any free one",
        "thrust: DEBUG is 'maybe', but must be 1, true, yes or on, or 0, false, no or off",
    ]


def test_a_bad_setting_stops_the_start() -> None:
    result = run("true", environ={"TARGET_PORT": "3000", "PORT": "3000"})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "thrust: PORT and TARGET_PORT are both 3000, but must differ\n"


def test_without_a_command_a_sentence_says_how() -> None:
    result = run()
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "thrust: give a command to start, such as: thrust uvicorn main:app --port '$THRUST_WORKER_PORT'\n"
    )


def test_an_unknown_option_is_a_sentence() -> None:
    result = run("--frobnicate", "true")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("thrust: no such option")
    assert "--frobnicate" in result.stderr and result.stderr.endswith("; see thrust --help\n")


# --- What belongs to the command --------------------------------------------------------------------------------

ECHO = "import sys; print(sys.argv[1:])"


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["--help"], ["--help"]),
        (["--version", "--check", "-x"], ["--version", "--check", "-x"]),
        (["--", "-y"], ["--", "-y"]),
        (["a", "", "b c", "*"], ["a", "", "b c", "*"]),
    ],
)
@pytest.mark.parametrize("end_of_options", [[], ["--"]])
def test_everything_after_the_command_is_the_commands(
    tmp_path: Path, words: list[str], seen: list[str], end_of_options: list[str]
) -> None:
    result = run(*end_of_options, sys.executable, "-c", ECHO, *words, environ=free_ports())
    assert repr(seen) in result.stdout
    assert result.returncode == 0


def test_the_exit_code_is_the_workers() -> None:
    assert run(sys.executable, "-c", "raise SystemExit(42)", environ=free_ports()).returncode == 42


def test_a_command_that_does_not_exist_is_127() -> None:
    result = run("no-such-program-here", environ=free_ports())
    assert result.returncode == 127
    assert "no-such-program-here" in result.stderr and "Traceback" not in result.stderr


def test_a_command_that_cannot_be_executed_is_126(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("")
    result = run(str(program), environ=free_ports())
    assert result.returncode == 126
    assert str(program) in result.stderr and "Traceback" not in result.stderr


# --- Import strings ---------------------------------------------------------------------------------------------


def test_an_import_string_becomes_the_built_in_worker() -> None:
    assert worker_command(["main:app", "--workers", "2"]) == [
        *(sys.executable, "-m", "thrust.worker.builtin"),
        *("main:app", "--workers", "2"),
    ]


@pytest.mark.parametrize("words", [["python", "main:app"], ["./main:app"], ["true"], ["localhost:3000"], ["C:\\app"]])
def test_another_command_stays_as_it_is(words: list[str]) -> None:
    assert worker_command(words) == words


def test_no_words_are_no_command() -> None:
    with pytest.raises(ConfigError, match="give a command"):
        worker_command([])


def test_a_file_with_the_name_of_an_import_string_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("main:app").touch()
    assert worker_command(["main:app"]) == ["main:app"]


def test_a_program_with_the_name_of_an_import_string_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "main:app"
    program.touch()
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert worker_command(["main:app"]) == ["main:app"]


# --- How a run ends ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "exit_code", "message"),
    [
        (KeyboardInterrupt(), 130, ""),
        (ListenError("port 80 needs more rights"), 1, "thrust: port 80 needs more rights\n"),
        (WorkerNotStarted("there is no x", exit_code=127), 127, "thrust: there is no x\n"),
    ],
)
def test_an_error_of_the_service_is_a_sentence_and_an_exit_code(
    raised: BaseException,
    exit_code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> NoReturn:
        raise raised

    monkeypatch.setattr("thrust.service.run", fail)
    monkeypatch.setattr("sys.argv", ["thrust", "true"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (exit_code, message)


def test_the_service_gets_config_warnings_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Config, Sequence[str], Sequence[str]]] = []

    def run_service(config: Config, warnings: Sequence[str], command: Sequence[str]) -> int:
        calls.append((config, warnings, command))
        return 3

    monkeypatch.setattr("thrust.service.run", run_service)
    monkeypatch.setattr("sys.argv", ["thrust", "--", "app", "--help"])
    monkeypatch.setattr("os.environ", {"PORT": "8080", "THRUST_XYZZY": "1"})
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    assert calls == [(Config(port=8080), ("THRUST_XYZZY is not a setting of this version",), ["app", "--help"])]


def test_nothing_of_the_service_is_imported_for_an_option() -> None:
    code = (
        "import sys; from thrust.cli import main; sys.argv[1:] = ['--check']\ntry: main()\nfinally: print(*sys.modules)"
    )
    environ = {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code, "--check"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=ANSWER_LIMIT_S,
        check=True,
    )
    assert "thrust.config" in result.stdout
    assert not {"asyncio", "thrust.service", "httptools", "uvloop", "hypercorn"} & set(result.stdout.split())
