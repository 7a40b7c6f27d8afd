"""What the VM reports to its users when an operation cannot be done."""

from harness.errors import HarnessError
from vmcore import constants

MEANINGS = {
    value: name.removeprefix("KERN_").replace("_", " ").lower()
    for name, value in vars(constants).items()
    if name.startswith("KERN_")
}


def kern_text(code: int) -> str:
    """A KERN_* value for people: ``KERN code 6 (resource shortage)``."""
    return f"KERN code {code} ({MEANINGS.get(code, 'unknown')})"


class VmError(HarnessError):
    """A VM operation was refused; ``code`` is the historic KERN_* value."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"{what}: {kern_text(code)}")
        self.what, self.code = what, code


class VmFault(VmError):
    """An access that no fault handling could satisfy: the SIGSEGV or SIGBUS of this VM."""

    def __init__(self, va: int, write: bool, code: int) -> None:
        super().__init__(f"{'write' if write else 'read'} of address {va:#x} failed", code)
        self.va, self.write = va, write
