"""What a dump says of the VM: records, invariants, inconsistencies, the history of a page."""
