"""Milliseconds from executing thrust to its open TLS port: with files, and with a certificate that ACME has stored.

`python -m benchmarks.load.startup_acme`. The two shall be alike: what orders need is not loaded before one is due. A
start without TLS stands beside them. Starts alternate, so that the machine's moods meet all of them.

Where pebble is installed, a second table has the time from executing thrust without a certificate to the first good
answer over HTTPS. Pebble's artificial pauses are off, and it refuses some good nonces.
"""

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.load.machine import free_port
from benchmarks.load.report import spread, table
from tests.support.certificates import make_pair
from tests.support.e2e_thrust import APPS
from tests.support.pebble import Pebble, running_pebble
from thrust.tls.renewal import MAX_RETRY_AFTER_S
from thrust.tls.storage import Notes, Storage

STARTS = 20
FIRST_ORDERS = 10
DOMAIN = "app.example.com"
DIRECTORY = "https://127.0.0.1:1/directory"  # nobody is there: a start has no business with the authority
GIVE_UP_S = 20.0


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as folder:
        ways = ways_to_start(Path(folder))
        samples: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(STARTS + 1):
            for name, environ in ways.items():
                taken_ms = open_port_ms(environ)
                if number:  # the first start only fills caches
                    samples[name].append(taken_ms)
    print(table(["start", "open port, ms"], [[name, spread(taken, 0)] for name, taken in samples.items()]))
    if shutil.which("pebble"):
        row = ["with ACME, at pebble", spread(first_answers_ms(), 0)]
        print("\n" + table(["first start", "answer over HTTPS, ms"], [row]))


def ways_to_start(folder: Path) -> dict[str, dict[str, str]]:
    """The settings of each start that is measured."""
    pair = make_pair(DOMAIN)
    storage = Storage(folder / "store", DIRECTORY)
    storage.prepare()
    storage.write_pair(DOMAIN, (pair.key + pair.certificate).decode())
    storage.write_notes(DOMAIN, Notes(ask_again_at_s=time.time() + MAX_RETRY_AFTER_S / 2))
    acme = {"THRUST_ACME_DOMAIN": DOMAIN, "ACME_DIRECTORY": DIRECTORY, "STORAGE_PATH": str(folder / "store")}
    return {"without TLS": {}, "with files": pair.environment(folder), "with ACME, stored": acme}


def open_port_ms(environ: dict[str, str]) -> float:
    """How long one start takes; it is ended at once."""
    port, https_port = free_port(), free_port()
    ports = {"PORT": str(port), "THRUST_WORKER_PORT": str(free_port())} | (
        {"HTTPS_PORT": str(https_port)} if environ else {}
    )
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "thrust", "sleep", "60"],
        env=os.environ | ports | environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_open(https_port if environ else port)
        return (time.perf_counter() - began_s) * 1000
    finally:
        process.terminate()
        process.wait(GIVE_UP_S)


def first_answers_ms() -> list[float]:
    """How long it takes, each time with an account and a certificate of its own, until a client gets its 200."""
    with tempfile.TemporaryDirectory() as folder, running_pebble(Path(folder)) as pebble:
        context = ssl.create_default_context(cafile=pebble.root_path(Path(folder)))
        return [first_answer_ms(pebble, Path(folder) / str(number), context) for number in range(FIRST_ORDERS)]


def first_answer_ms(pebble: Pebble, store: Path, context: ssl.SSLContext) -> float:
    """The same once."""
    environ = pebble.environ | {
        "THRUST_ACME_DOMAIN": DOMAIN,
        "STORAGE_PATH": str(store),
        "THRUST_WORKER_PORT": str(free_port()),
    }
    worker = [sys.executable, str(APPS / "raw_worker.py")]
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "thrust", *worker],
        env=os.environ | environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not answers(pebble.tls_port, context):
            if time.perf_counter() > began_s + GIVE_UP_S:
                raise TimeoutError("there is no certificate yet")
            time.sleep(0.005)
        return (time.perf_counter() - began_s) * 1000
    finally:
        process.terminate()
        process.wait(GIVE_UP_S)


def answers(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client that checks certificates gets a good answer from `port`."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 1) as plain,
            context.wrap_socket(plain, server_hostname=DOMAIN) as client,
        ):
            client.sendall(f"GET / HTTP/1.1\r\nHost: {DOMAIN}\r\n\r\n".encode())
            return client.recv(4096).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def wait_until_open(port: int) -> None:
    """Returns when somebody accepts connections on `port`."""
    give_up_s = time.perf_counter() + GIVE_UP_S
    while time.perf_counter() < give_up_s:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.001)
    raise TimeoutError(f"port {port} is still closed")


if __name__ == "__main__":
    main()
