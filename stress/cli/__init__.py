"""stress.cli: the command line, ``hangdog``."""
