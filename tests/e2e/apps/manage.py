"""Django's command line for `django_site`."""

import sys

import django_site  # noqa: F401 - configures the settings
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
