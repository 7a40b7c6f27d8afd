"""One interleaving, step by step: roles, cues, and the sync points that hold workers to it."""
