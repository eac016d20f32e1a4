"""A Flask app with USE_X_SENDFILE: README's recipe, and no more. REPORTS is a folder."""

import os
from urllib.parse import quote

from flask import Flask, Response, send_from_directory

REPORTS = os.environ["REPORTS"]

app = Flask(__name__)
app.config["USE_X_SENDFILE"] = True


@app.get("/reports/<name>")
def report(name: str) -> Response:
    return send_from_directory(REPORTS, name, as_attachment=True)


@app.after_request
def leave_to_thrust(response: Response) -> Response:
    if "X-Sendfile" in response.headers:
        response.headers["X-Sendfile"] = quote(response.headers["X-Sendfile"])  # Latin-1 only goes into headers
        response.content_length = 0  # Flask sends nothing, and would announce the file's
    return response
