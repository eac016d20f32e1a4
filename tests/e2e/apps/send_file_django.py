"""A Django site that sets X-Sendfile by hand: README's recipe, and no more. REPORTS is a folder."""

import os
from urllib.parse import quote

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils.http import content_disposition_header

REPORTS = os.environ["REPORTS"]

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="for tests", ALLOWED_HOSTS=["*"])


def report(request: HttpRequest, name: str) -> HttpResponse:
    fields = {
        "X-Sendfile": quote(f"{REPORTS}/{name}"),
        "Content-Disposition": content_disposition_header(True, name),
    }
    return HttpResponse(headers=fields, content_type="")  # thrust knows the type by the name


urlpatterns = [path("reports/<str:name>", report)]

application = get_wsgi_application()
