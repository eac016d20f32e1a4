"""A WSGI app that names the file in its query by X-Sendfile, and says nothing else about it."""

from wsgiref.types import StartResponse, WSGIEnvironment


def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", ""), ("X-Sendfile", environ["QUERY_STRING"])])
    return []
