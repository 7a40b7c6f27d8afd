"""bench: what things cost, measured with public names only.  See README.md for what is not claimed."""
