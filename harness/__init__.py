"""harness: locks in shared memory that know who holds them, and a watchdog that explains a hang."""
