"""A Flask app that puts the hash of its script into the query, as Flask's own recipes for cache busting do."""

import hashlib
from collections import Counter

from contents import SCRIPT
from flask import Flask, Response, request, url_for

app = Flask(__name__)
asked: "Counter[str]" = Counter()


@app.get("/script.js")
def script() -> Response:
    asked[request.path] += 1
    response = Response(SCRIPT, mimetype="text/javascript")
    response.add_etag()
    return response.make_conditional(request)


@app.get("/url")
def url() -> str:
    return url_for("script", v=hashlib.md5(SCRIPT).hexdigest()[:12])


@app.get("/count")
def count() -> str:
    return str(asked[request.args["path"]])
