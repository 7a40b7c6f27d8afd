"""The interface of address spaces: allocate, map, protect, msync, mlock, fork, exit."""
