"""Two views are the whole site."""

from django.http import HttpRequest, HttpResponse
from django.urls import path


def index(request: HttpRequest) -> HttpResponse:
    address = request.headers.get("X-Real-IP", request.META["REMOTE_ADDR"])
    text = f"Django behind thrust: {request.build_absolute_uri()}, asked for by {address}\n"
    return HttpResponse(text, content_type="text/plain")


def up(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("up\n", content_type="text/plain")


urlpatterns = [path("", index), path("up", up)]
