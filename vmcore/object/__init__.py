"""Objects: life, shadow chains, collapse, copies, cache, pages of an object."""
