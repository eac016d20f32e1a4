"""A worker that speaks HTTP by hand, so that it can be slow, wrong, or gone where a real server would be none of that.

    raw_worker.py [--gate FIFO] [--on-term CODE|ignore] [--with-child] [--port PORT]

It opens its port when somebody has opened FIFO for writing, reports each signal as a line `got SIGUSR1` on stdout, ends
with CODE on SIGTERM (0 unless told otherwise), and may have a child that ignores SIGTERM and tells its own number.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from io import BufferedReader

BLOCK = b"0123456789abcdef" * 4096

sent_bytes = received_bytes = requests = 0
opened = threading.Event()


class Request:
    """The head of a request; the body is still in `reader`."""

    def __init__(self, reader: BufferedReader) -> None:
        self.reader = reader
        self.method, target, _ = reader.readline().decode("latin-1").split()
        self.path, _, self.query = target.partition("?")
        self.fields: dict[str, str] = {}
        while (line := reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            self.fields[name.lower()] = value.strip()

    def read_body(self) -> tuple[bytes, list[str]]:
        """Content and trailer lines."""
        if "chunked" not in self.fields.get("transfer-encoding", ""):
            return self.reader.read(int(self.fields.get("content-length", "0"))), []
        pieces = []
        while size := int(self.reader.readline(), 16):
            pieces.append(self.reader.read(size))
            self.reader.readline()
        trailers = []
        while (line := self.reader.readline()) not in (b"\r\n", b""):
            trailers.append(line.decode("latin-1").strip())
        return b"".join(pieces), trailers


def serve(connection: socket.socket) -> None:
    global requests
    with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rb") as reader:
        while reader.peek(1):
            request = Request(reader)
            requests += 1
            if not ANSWERS.get(request.path, page)(request, connection):
                return


def answer(connection: socket.socket, body: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    return True


def page(request: Request, connection: socket.socket) -> bool:
    request.read_body()
    return answer(connection, b"%d" % os.getpid())


def cached(request: Request, connection: socket.socket) -> bool:
    """Its process number, for an hour."""
    body = b"%d" % os.getpid()
    fields = b"Cache-Control: max-age=3600\r\nContent-Length: %d\r\n" % len(body)
    connection.sendall(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (fields, body))
    return True


def count(request: Request, connection: socket.socket) -> bool:
    return answer(connection, b"%d" % requests)


def early_hints(request: Request, connection: socket.socket) -> bool:
    """A 103 at once; the answer when somebody has asked for /open."""
    connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n")
    opened.wait()
    return answer(connection, b"late")


def trailers(request: Request, connection: socket.socket) -> bool:
    """Sends the request's trailers back as the response's, behind the request's content."""
    content, lines = request.read_body()
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
    if content:
        connection.sendall(b"%x\r\n%b\r\n" % (len(content), content))
    connection.sendall(b"0\r\n")
    connection.sendall("".join(f"{line}\r\n" for line in [*lines, f"X-Sum: {sum(content)}"]).encode() + b"\r\n")
    return True


def echo(request: Request, connection: socket.socket) -> bool:
    """Sends each byte of the request's content back as soon as it is there, in a chunk of its own."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(int(request.fields["content-length"])):
        connection.sendall(b"1\r\n%b\r\n" % request.reader.read(1))
    connection.sendall(b"0\r\n\r\n")
    return True


def environment(request: Request, connection: socket.socket) -> bool:
    return answer(connection, json.dumps({**os.environ, "argv": sys.argv[1:]}).encode())


def exit_now(request: Request, connection: socket.socket) -> bool:
    os._exit(int(request.query))


def kill_self(request: Request, connection: socket.socket) -> bool:
    os.kill(os.getpid(), int(request.query))
    return True


def hang(request: Request, connection: socket.socket) -> bool:
    os.write(1, b"hangs\n")
    while request.reader.read(65536):
        pass
    os.write(1, b"left alone\n")
    return False


def lie(message: bytes) -> Callable[[Request, socket.socket], bool]:
    """An answer of exactly these bytes, and the end of the connection."""

    def send(request: Request, connection: socket.socket) -> bool:
        request.read_body()
        connection.sendall(message)
        return False

    return send


def stream(request: Request, connection: socket.socket) -> bool:
    """A body of as many bytes as the query says."""
    global sent_bytes
    sent_bytes, size = 0, int(request.query)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    while sent_bytes < size:
        sent_bytes += connection.send(BLOCK[: size - sent_bytes])
    return True


def sink(request: Request, connection: socket.socket) -> bool:
    """Takes a body, but only when somebody has asked for /open."""
    global received_bytes
    opened.wait()
    received_bytes, size = 0, int(request.fields["content-length"])
    while received_bytes < size and (piece := request.reader.read1(min(1 << 20, size - received_bytes))):
        received_bytes += len(piece)
    return answer(connection, b"%d" % received_bytes)


def refuse(request: Request, connection: socket.socket) -> bool:
    """An answer to a body that it never reads, and the end of the connection."""
    connection.sendall(b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch")
    return False


def progress(request: Request, connection: socket.socket) -> bool:
    return answer(connection, b"%d" % sent_bytes)


def open_up(request: Request, connection: socket.socket) -> bool:
    opened.set()
    return answer(connection, b"open")


def shut(request: Request, connection: socket.socket) -> bool:
    opened.clear()
    return answer(connection, b"shut")


def orphan(request: Request, connection: socket.socket) -> bool:
    """Makes a process without a parent, which ends when somebody has closed its stdin; answers with its number."""
    script = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-S', '-c', 'pass']).pid)"
    return answer(connection, subprocess.check_output([sys.executable, "-S", "-c", script], stdin=subprocess.DEVNULL))


def exists(request: Request, connection: socket.socket) -> bool:
    try:
        os.kill(int(request.query), 0)
    except ProcessLookupError:
        return answer(connection, b"no")
    return answer(connection, b"yes")


ANSWERS: dict[str, Callable[[Request, socket.socket], bool]] = {
    "/cached": cached,
    "/count": count,
    "/early-hints": early_hints,
    "/trailers": trailers,
    "/echo": echo,
    "/environment": environment,
    "/exit": exit_now,
    "/kill": kill_self,
    "/hang": hang,
    "/stream": stream,
    "/sink": sink,
    "/refuse": refuse,
    "/progress": progress,
    "/open": open_up,
    "/shut": shut,
    "/orphan": orphan,
    "/exists": exists,
    "/short": lie(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this"),
    "/short-chunked": lie(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    "/silent": lie(b""),
    "/half-head": lie(b"HTTP/1.1 200 OK\r\nContent-Le"),
    "/no-http": lie(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    "/two-lengths": lie(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
    "/two-framings": lie(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "/too-long": lie(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more"),
    "/bad-field": lie(b"HTTP/1.1 200 OK\r\nX-Bad : 1\r\nContent-Length: 0\r\n\r\n"),
    "/upgrade": lie(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    "/until-close": lie(b"HTTP/1.1 200 OK\r\n\r\nto the end"),
}


def report(number: int, frame: object) -> None:
    os.write(1, f"got {signal.Signals(number).name}\n".encode())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--gate")
    parser.add_argument("--on-term", default="0")
    parser.add_argument("--with-child", action="store_true")
    parser.add_argument("--port", type=int, default=int(os.environ["PORT"]))
    options = parser.parse_args()

    def end(number: int, frame: object) -> None:
        report(number, frame)
        if options.on_term != "ignore":
            os._exit(int(options.on_term))

    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU, signal.SIGWINCH, signal.SIGQUIT):
        signal.signal(number, report)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, report)
    signal.signal(signal.SIGTERM, end)
    if options.with_child:
        script = "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nos.write(1, b'child %d\\n' % os.getpid())"
        subprocess.Popen([sys.executable, "-S", "-c", f"{script}\nwhile True: signal.pause()"])
    if options.gate:
        os.write(1, b"waits at the gate\n")
        with open(options.gate, "rb"):
            pass
    listener = socket.create_server(("127.0.0.1", options.port), backlog=512)
    threading.Thread(target=accept, args=[listener], daemon=True).start()
    while True:
        signal.pause()


def accept(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=[connection], daemon=True).start()


main()
