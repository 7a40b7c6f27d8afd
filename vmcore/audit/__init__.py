"""What must be true of a VM at rest, record by record."""
