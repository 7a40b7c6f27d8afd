"""Checked mode: the guard of every field at every access, invariants at every release of a lock."""
