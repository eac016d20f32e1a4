"""What look-ups in a browser's header fields cost (`thrust.http.headers`)."""

from benchmarks.micro.run import bench
from thrust.http.headers import Headers, tokens

BROWSER = Headers(
    [
        (b"host", b"app.example.com"),
        (b"connection", b"keep-alive"),
        (b"cache-control", b"max-age=0"),
        (b"upgrade-insecure-requests", b"1"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0"),
        (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
        (b"sec-fetch-site", b"same-origin"),
        (b"sec-fetch-mode", b"navigate"),
        (b"referer", b"https://app.example.com/accounts"),
        (b"accept-encoding", b"gzip, deflate, br, zstd"),
        (b"accept-language", b"en-GB,en;q=0.9"),
        (b"cookie", b"session=" + b"0123456789abcdef" * 4),
    ]
)
CONNECTION = [b"keep-alive, Upgrade"]


def main() -> None:
    """Prints a line per case."""
    bench("Headers.get, first of 12", lambda: BROWSER.get(b"host"))
    bench("Headers.get, last of 12", lambda: BROWSER.get(b"cookie"))
    bench("Headers.get, absent among 12", lambda: BROWSER.get(b"expect"))
    bench("Headers.get_all, absent among 12", lambda: BROWSER.get_all(b"transfer-encoding"))
    bench("tokens, two members", lambda: tokens(CONNECTION))
    bench("tokens, no line", lambda: tokens(()))


if __name__ == "__main__":
    main()
