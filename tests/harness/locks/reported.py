"""The reports of an arena, sorted by what they are about."""

from harness.locks.reports import reports

__all__ = ["notes", "reports", "violations"]


def violations(arena):
    """About the order of locks: a deadlock that did not happen yet."""
    return [report for report in reports(arena) if report.kind == "order"]


def notes(arena):
    """Both orders, but one thread alone has taken them."""
    return [report for report in reports(arena) if report.kind == "order_note"]
