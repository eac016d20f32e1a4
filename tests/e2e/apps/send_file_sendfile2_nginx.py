"""A Django site with django-sendfile2 and its nginx backend, X-Accel-Redirect: README's recipe; its own settings."""

import os

from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django_sendfile import sendfile

os.environ["DJANGO_SETTINGS_MODULE"] = ROOT_URLCONF = __name__
SECRET_KEY = "for tests"
ALLOWED_HOSTS = ["*"]

REPORTS = os.environ["REPORTS"]

SENDFILE_BACKEND = "django_sendfile.backends.nginx"
SENDFILE_ROOT = REPORTS
SENDFILE_URL = "/protected"


def report(request: HttpRequest, name: str) -> HttpResponse:
    return sendfile(request, name, attachment=True)


urlpatterns = [path("reports/<str:name>", report)]

application = get_wsgi_application()
