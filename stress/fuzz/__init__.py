"""Random programs of VM operations: drawn, run, and shrunk to the smallest that fails."""
