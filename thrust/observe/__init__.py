"""What the program tells its operators: the log on stdout, and the observers of finished exchanges."""
