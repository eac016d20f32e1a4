"""A Flask app that believes what thrust says about the client."""

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask(__name__)

# Scheme, host and client address come from the X-Forwarded-* fields of one proxy, which is thrust: it is the only
# peer that can reach this app. Behind kamal-proxy or a load balancer as well, x_for is 2.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1)


@app.get("/")
def index() -> str:
    return f"Flask behind thrust: {request.url}, asked for by {request.remote_addr}\n"


@app.get("/up")
def up() -> str:
    return "up\n"
