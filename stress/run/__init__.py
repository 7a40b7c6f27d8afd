"""One run: options, world, workload, result."""
