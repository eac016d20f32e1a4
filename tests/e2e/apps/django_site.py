"""The Django site of the end-to-end tests, in one module; `manage.py` beside it starts the development server."""

import hashlib

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

LARGE_BYTES = 3_000_000

if not settings.configured:
    settings.configure(
        ROOT_URLCONF=__name__,
        SECRET_KEY="for tests",
        ALLOWED_HOSTS=["localhost", ".example"],
        SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https"),
        DATA_UPLOAD_MAX_MEMORY_SIZE=None,
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # adds Content-Length
    )


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("hello\n")


def sight(request: HttpRequest) -> HttpResponse:
    return JsonResponse(
        {
            "method": request.method,
            "path": request.path,
            "query": request.META["QUERY_STRING"],
            "scheme": request.scheme,
            "client": request.headers["x-real-ip"],
            "host": request.get_host(),
            "headers": [[name.lower(), value] for name, value in request.headers.items()],
        }
    )


def received(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{len(request.body)} {hashlib.sha256(request.body).hexdigest()}")


def large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"x" * LARGE_BYTES)


def pieces(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(b"x" * 1000 for _ in range(LARGE_BYTES // 1000))


urlpatterns = [
    path("", page),
    path("up", page),
    path("sight", sight),
    path("received", received),
    path("large", large),
    path("pieces", pieces),
]

application = get_wsgi_application()
