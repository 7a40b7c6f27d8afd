"""What can be wrong with a trace: one class, because the remedy is always another trace."""

from harness.errors import HarnessError

SHOWN = 80  # characters of the offending line that fit on a terminal next to the fact


class TraceError(HarnessError):
    """A log that cannot be used.  ``line`` is 1-based; 0 means the file as a whole."""

    exit_code = 2
    hint = "hangdog run --trace configure"

    def __init__(self, path: str, why: str, line: int = 0, text: str = "") -> None:
        where = f" line {line}" if line else ""
        shown = f": {text[:SHOWN]!r}" if text else ""
        super().__init__(f"trace {path!r}{where}: {why}{shown}")
        self.path, self.why, self.line, self.text = path, why, line, text

    def __reduce__(self) -> tuple[type["TraceError"], tuple[str, str, int, str]]:
        """Errors cross process borders; the default would call us with the message alone."""
        return type(self), (self.path, self.why, self.line, self.text)
