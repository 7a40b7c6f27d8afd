"""The machine-dependent layer: mappings of frames, and the simulated MMU."""
