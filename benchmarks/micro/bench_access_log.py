"""What one line of the access log costs: CPU of the whole process per line, the writing thread included.

    python -m benchmarks.micro.bench_access_log

Exchanges are made anew for every round, so that no hash is known beforehand; making them is not timed. The budget of
`json line` is 4 µs.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterable

from benchmarks.micro.run import report
from thrust.http.exchange import Exchange, Observer
from thrust.http.headers import Headers
from thrust.observe.access_log import AccessLog
from thrust.observe.logs import Log, LogFormat

ROUNDS = 600
LINES_PER_ROUND = 200

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.{}.0 Safari/537.36"


def make_exchange(number: int) -> Exchange:
    """A page that a browser got through us: 9 request fields, 8 response fields."""
    exchange = Exchange("10.0.3.17", time.time(), time.monotonic())
    exchange.finished_s += 0.0123456
    exchange.remote_address = f"203.0.113.{number % 256}"
    exchange.method = "GET"
    exchange.path = f"/accounts/{number}/messages"
    exchange.query = f"page={number % 9}&sort=created_at"
    exchange.host = "app.example.com"
    exchange.protocol = "HTTP/1.1"
    exchange.request_id = str(uuid.UUID(int=number * 7919))
    exchange.request_headers = request_headers(number)
    exchange.response_headers = response_headers(number)
    exchange.status = 200
    exchange.body_bytes = 1024
    exchange.cache = "miss"
    return exchange


def request_headers(number: int) -> Headers:
    return parsed(
        "host: app.example.com",
        "connection: keep-alive",
        f"user-agent: {CHROME.format(120 + number % 12, number % 7)}",
        "accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        "referer: https://app.example.com/accounts",
        "accept-encoding: gzip, deflate, br, zstd",
        "accept-language: en-GB,en;q=0.9",
        f"cookie: session={number:064x}",
        "upgrade-insecure-requests: 1",
    )


def response_headers(number: int) -> Headers:
    return parsed(
        "date: Mon, 23 Nov 2026 05:01:02 GMT",
        "server: uvicorn",
        "content-length: 1024",
        "content-type: text/html; charset=utf-8",
        "vary: Cookie",
        "x-frame-options: DENY",
        "x-content-type-options: nosniff",
        f"x-request-id: {number:032x}",
    )


def parsed(*lines: str) -> Headers:
    """Header lines as a parser gives them: new bytes each time."""
    pairs = (line.split(": ", 1) for line in lines)
    return Headers([(name.encode(), value.encode()) for name, value in pairs])


def cpu_us_per_line(observe: Observer, exchanges: list[Exchange]) -> float:
    started = time.process_time()
    for exchange in exchanges:
        observe(exchange)
    return (time.process_time() - started) * 1e6 / len(exchanges)


def bench(name: str, log_format: LogFormat, excluded: Iterable[str], adjust: Callable[[Exchange], None]) -> None:
    """Prints the line of one case, logging to /dev/null."""
    sink = os.open(os.devnull, os.O_WRONLY)
    log = Log(sink, log_format)
    log.start()
    observe = AccessLog(log, excluded)
    costs_us = []
    for _ in range(ROUNDS):
        exchanges = [make_exchange(number) for number in range(LINES_PER_ROUND)]
        for exchange in exchanges:
            adjust(exchange)
        costs_us.append(cpu_us_per_line(observe, exchanges))
    log.close(timeout_s=10)
    os.close(sink)
    report(name, costs_us, "µs")


def leave(exchange: Exchange) -> None:
    """The common case."""


def make_hostile(exchange: Exchange) -> None:
    exchange.path = '/"\\\x1b[31m\xff' * 10


def main() -> None:
    bench("json line", "json", ["/up"], leave)
    bench("json line, hostile path", "json", ["/up"], make_hostile)
    bench("excluded path", "json", ["/accounts/*"], leave)
    bench("text line", "text", ["/up"], leave)


if __name__ == "__main__":
    main()
