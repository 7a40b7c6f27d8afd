"""Pages: allocation, flags, queues, waits."""
