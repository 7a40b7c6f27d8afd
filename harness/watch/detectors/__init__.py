"""The rules of verdicts: pure functions from snapshots to suspicions, and the table that documents them."""
