"""A Django site whose static files have been collected by ManifestStaticFilesStorage; it serves them itself.

STATIC_SOURCE is a folder with `app.js`, STATIC_ROOT an empty one.
"""

import os
from collections import Counter

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpRequest, HttpResponse
from django.templatetags.static import static
from django.urls import path
from django.views.static import serve

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["django.contrib.staticfiles"],
    STATIC_URL="/static/",
    STATIC_ROOT=os.environ["STATIC_ROOT"],
    STATICFILES_DIRS=[os.environ["STATIC_SOURCE"]],
    STORAGES={"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}},
)
django.setup()
call_command("collectstatic", verbosity=0, interactive=False)

asked: "Counter[str]" = Counter()


def asset(request: HttpRequest, name: str) -> FileResponse | HttpResponse:
    asked[request.path] += 1
    return serve(request, name, document_root=settings.STATIC_ROOT)


def url(request: HttpRequest) -> HttpResponse:
    return HttpResponse(static("app.js"))


def count(request: HttpRequest) -> HttpResponse:
    return HttpResponse(asked[request.GET["path"]])


urlpatterns = [path("static/<path:name>", asset), path("url", url), path("count", count)]

application = get_wsgi_application()
