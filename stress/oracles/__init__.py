"""What must hold: contents of memory, the world at rest, no page that nothing can reach."""
