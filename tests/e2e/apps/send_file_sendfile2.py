"""A Django site with django-sendfile2 and its xsendfile backend: README's recipe. The module is its own settings."""

import os

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django_sendfile import sendfile

os.environ["DJANGO_SETTINGS_MODULE"] = ROOT_URLCONF = __name__
SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]

REPORTS = os.environ["REPORTS"]

SENDFILE_BACKEND = "django_sendfile.backends.xsendfile"
SENDFILE_ROOT = REPORTS


def report(request: HttpRequest, name: str) -> HttpResponse:
    return sendfile(request, name, attachment=True)


urlpatterns = [path("reports/<str:name>", report)]

application = get_wsgi_application()
