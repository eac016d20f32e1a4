"""Files that are sent in the worker's place: found and opened safely, described, and answered with."""
