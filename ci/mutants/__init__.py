"""Mutants: deliberate errors, each of which some check of the project must notice.

A table (core.py: the C lock core) lists them; engine.py puts one at a time into a copy of
the tree, builds it and runs the checks.  `python -m ci.mutants --help`, or `make mutants`.
"""
