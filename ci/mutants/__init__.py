"""Mutants: deliberate errors, each of which some check of the project must notice.

Tables list them (core_locks.py, core_rest.py: the C lock core; models.py, watch.py, vmcore.py);
engine.py puts one at a time into a copy of the tree, builds it and runs the checks.
`python -m ci.mutants --help`, or `make mutants`.
"""
