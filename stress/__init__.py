"""Where the instrument and the VM meet: scenarios, traces, defects, the command line."""
