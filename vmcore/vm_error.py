"""What the VM reports to its users when an operation cannot be done."""

from harness.errors import HarnessError


class VmError(HarnessError):
    """A VM operation was refused; ``code`` is the historic KERN_* value."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(f"{what}: KERN code {code}")
        self.what, self.code = what, code


class VmFault(VmError):
    """An access that no fault handling could satisfy: the SIGSEGV or SIGBUS of this VM."""

    def __init__(self, va: int, write: bool, code: int) -> None:
        super().__init__(f"{'write' if write else 'read'} of address {va:#x} failed", code)
        self.va, self.write = va, write
