"""Pagers: swap, files, devices, clustered transfers, asynchronous writes."""
