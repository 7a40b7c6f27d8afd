"""A dump as text, as a page, and the sections that other packages add to it."""
