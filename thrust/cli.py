"""argv → Config → service.run → exit code; prints errors and what was asked for, nothing else.

`thrust [OPTIONS] COMMAND [ARGS]…`: options end at the first word that is none, and from there on every word belongs to
the command, whatever it looks like. There are no subcommands, because any word may be an app's command. The one that is
read as something else is an import string (`myapp:app`), and only if no program or file has that name.

Start-up time is felt, so `service`, and with it the event loop and the parser, is imported only when it runs.
"""

import os
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NoReturn

import click

from thrust import __version__
from thrust.config import SETTINGS, Config, Loaded, Setting, Tls, default_text, load
from thrust.errors import ConfigError, ThrustError, WorkerNotStarted

INTERRUPTED = 130  # 128 + SIGINT, as a shell says it
FAILED = 1

_USAGE = "give a command to start, such as: thrust uvicorn main:app --port '$THRUST_WORKER_PORT'"

_SETTINGS_INTRODUCTION = """\
Each is read as THRUST_<NAME>, then as THRUSTER_<NAME>, then by the names given here; both names of a setting can take
the prefix. Sizes: 65536, 64KB, 1MiB (powers of 1024). Durations: 30, 30s, 500ms, 2m, 1h. Switches: 1/0, true/false,
on/off, yes/no. An empty variable counts as unset."""

_WORKER_VARIABLES = [
    ("PORT, THRUST_WORKER_PORT", "the port that the worker has to listen on"),
    ("THRUST_PUBLIC_PORT", "the port that thrust listens on"),
]

_EXIT_CODES = [
    ("0-255", "the worker's own, or 128+n if signal n ended it"),
    ("1", "a setting, an option or a certificate is wrong, or thrust cannot listen"),
    ("126, 127", "the command cannot be executed, or does not exist"),
]

_EXAMPLES = """\
thrust uvicorn main:app --port '$THRUST_WORKER_PORT'
thrust gunicorn mysite.wsgi
thrust main:app --workers 2
PORT=8080 MAX_REQUEST_BODY=50MB thrust -- python -m app --verbose"""


def main() -> NoReturn:
    """Ends the process with the worker's exit code, or with one of ours and a sentence on stderr."""
    _open_standard_files()
    try:
        exit_code = _run()
    except WorkerNotStarted as error:
        exit_code = _complain(str(error), error.exit_code)
    except ThrustError as error:
        exit_code = _complain(str(error), FAILED)
    except click.UsageError as error:
        message = error.format_message().removesuffix(".")
        exit_code = _complain(f"{message[:1].lower()}{message[1:]}; see thrust --help", FAILED)
    except (click.Abort, KeyboardInterrupt):
        exit_code = INTERRUPTED
    sys.exit(exit_code)


def _open_standard_files() -> None:
    """Puts /dev/null where stdin, stdout or stderr are closed: else a socket would get their number, and our lines."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, which is `fd`


def _run() -> int:
    answer = _command_line.main(prog_name="thrust", standalone_mode=False)
    if isinstance(answer, int):
        return answer
    # The worker runs outside of click, which would hide some of its OSErrors and signals.
    loaded = load(os.environ)
    command = worker_command(answer)

    from thrust import service

    return service.run(loaded.config, loaded.warnings, command)


def _complain(message: str, exit_code: int) -> int:
    for line in message.splitlines():
        click.echo(f"thrust: {line}", err=True)
    return exit_code


def _settings_in_columns(loaded: Loaded) -> str:
    rows = [("SETTING", "VALUE", "FROM")]
    rows += [(name, origin.value, origin.variable) for name, origin in loaded.origins.items()]
    return _in_columns(rows)


def _in_columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _certificates(config: Config) -> str:
    """The certificates that there are, in columns; what local ones need besides, below."""
    from thrust.tls import inventory  # for those who ask
    from thrust.tls.local_ca import data_folder
    from thrust.tls.storage import Storage

    if config.tls_certificate_path is not None and config.tls_key_path is not None:
        rows = inventory.static_rows(config.tls_certificate_path, config.tls_key_path)
    elif config.acme_domains:
        rows = inventory.acme_rows(config.acme_domains, Storage(config.storage_path, config.acme_directory))
    elif config.tls is Tls.LOCAL:
        rows = inventory.local_rows(data_folder())
    else:
        return "no setting asks for TLS: SSL_CERT_PATH, THRUST_ACME_DOMAIN and THRUST_TLS=local do"
    table = _in_columns([inventory.HEADER, *rows])
    return "\n".join([table, *(inventory.how_to_trust(data_folder()) if config.tls is Tls.LOCAL else ())])


def worker_command(words: Sequence[str]) -> list[str]:
    """The command to execute for what stands on the command line; raises ConfigError if that is nothing.

    An import string becomes the built-in worker, unless a program or a file is called like it.
    """
    if not words:
        raise ConfigError(_USAGE)
    first, *arguments = words
    if ":" in first:
        from thrust.worker import builtin  # a module that most commands do not need

        if builtin.is_import_string(first) and not _is_program(first):
            return builtin.command_for(first, arguments)
    return list(words)


def _is_program(word: str) -> bool:
    from shutil import which  # brings compression modules with it; needed for import strings only

    return which(word) is not None or Path(word).exists()


# --- The page that --help shows -----------------------------------------------------------------------------------


class _Command(click.Command):
    """Adds every setting, the exit codes and examples to --help."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "[OPTIONS] COMMAND [ARGS]...")

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Environment"):
            formatter.write_text(_SETTINGS_INTRODUCTION)
        for group, members in groupby(SETTINGS.items(), key=lambda member: member[1].group):
            with formatter.section(group):
                formatter.write_dl([(setting.name, _help(name, setting)) for name, setting in members])
        with formatter.section("The worker's environment"):
            formatter.write_dl(_WORKER_VARIABLES)
        with formatter.section("Exit codes"):
            formatter.write_dl(_EXIT_CODES)
        with formatter.section("Examples"):
            for line in _EXAMPLES.splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def _help(field_name: str, setting: Setting) -> str:
    also = f", also {setting.thruster}" if setting.thruster not in ("", setting.name) else ""
    effect = " No effect yet." if setting.pending else ""
    return f"{setting.meaning} [{default_text(field_name)}{also}]{effect}"


@click.command(
    cls=_Command,
    context_settings={
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
        "max_content_width": 120,
    },
)
@click.version_option(__version__, message="thrust %(version)s")
@click.option("--print-config", is_flag=True, help="Show each setting, its value and where it comes from, and exit.")
@click.option("--certs", is_flag=True, help="List the certificates, when they expire and are renewed, and exit.")
@click.option("--check", is_flag=True, help="Validate the settings and exit with 0 or 1.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def _command_line(command: tuple[str, ...], print_config: bool, certs: bool, check: bool) -> int | tuple[str, ...]:
    """Start COMMAND as the worker behind an HTTP front, and end with its exit code.

    The worker listens on 127.0.0.1 at $PORT; where a program takes its port as an argument, write
    '$THRUST_WORKER_PORT' or {port}. MODULE:APP instead of a command runs an ASGI or WSGI app on the built-in server
    (Hypercorn), which takes the further arguments.
    """
    if not (print_config or certs or check):
        return command
    loaded = load(os.environ)
    for warning in loaded.warnings:
        click.echo(f"thrust: warning: {warning}", err=True)
    if print_config:
        click.echo(_settings_in_columns(loaded))
        if loaded.config.serves_tls:
            click.echo(f"\n{_certificates(loaded.config)}")
    else:
        click.echo(_certificates(loaded.config) if certs else "thrust: all settings are valid")
    return 0
