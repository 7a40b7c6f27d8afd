"""Address maps: entries, lookup, clipping, free places."""
