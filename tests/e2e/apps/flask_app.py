"""The Flask app of the end-to-end tests."""

import hashlib
import os

from flask import Flask, Response, jsonify, request
from werkzeug.middleware.proxy_fix import ProxyFix

LARGE_BYTES = 3_000_000

app = Flask(__name__)
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)  # type: ignore[method-assign]  # as Flask has it


@app.route("/", methods=["GET", "POST"])
def page() -> str:
    return f"hello from {os.getpid()}\n"


@app.get("/sight")
def sight() -> Response:
    return jsonify(
        method=request.method,
        path=request.path,
        query=request.query_string.decode(),
        scheme=request.scheme,
        client=request.remote_addr,
        host=request.host,
        headers=[[name.lower(), value] for name, value in request.headers.items()],
    )


@app.post("/received")
def received() -> str:
    body = request.get_data()
    return f"{len(body)} {hashlib.sha256(body).hexdigest()}"


@app.get("/large")
def large() -> Response:
    return Response(b"x" * LARGE_BYTES)


@app.get("/pieces")
def pieces() -> Response:
    return Response(b"x" * 1000 for _ in range(LARGE_BYTES // 1000))
