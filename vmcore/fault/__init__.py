"""The fault handler: search, copy, push, enter."""
