"""The settings that matter behind a proxy, and no others: no database, no admin, no static files."""

import os

SECRET_KEY = os.environ.get("SECRET_KEY", "only for trying this example out")
DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
]

# The names that clients use. thrust passes Host on as it came, so USE_X_FORWARDED_HOST is not needed; keep localhost
# in the list, it is what health probes of /up arrive with.
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1").split(",")

# Safe because thrust is the only one that can reach this process, and it sets the field itself.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
