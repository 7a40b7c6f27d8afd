"""L25: throwing pages away does not ask whether somebody owns them, or has wired them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.defect import Defect
from vmcore.object_page_remove import remove_page
from vmcore.page import object_pages
from vmcore.structs import VmObject

if TYPE_CHECKING:
    from vmcore.vm import Vm


def vm_object_page_remove(vm: Vm, object: VmObject, start: int, end: int, spare_dirty: bool = False) -> int:
    """As the repaired step, but busy pages are as good as any.

    Enter:  object locked.
    Exit:   same.
    Takes:  any.
    Sleeps: never.
    """
    left = 0
    for page in object_pages(vm, object):
        if start <= page.offset < end:
            left += not remove_page(vm, page, spare_dirty)
    return left


defect = Defect(
    id="L25",
    name="page-remove-ignores-busy",
    origin="reconstructed",
    quote="truncate and invalidate free pages without a test of BUSY",
    interleaving=(
        "F: a fault on a file page m sleeps in its page-in: m is BUSY   []",
        "T: truncates the file: frees m   [O]",
        "X: gets m's frame for a page of its own",
        "F: the read completes into X's page; F looks m up again, or gives up what is not its own",
    ),
    symptom="somebody's memory shows a piece of a file, or a fault owns a page that is gone",
    verdicts=("panic", "crash", "invariant_violation", "wrong_data", "unguarded_access"),
    scenario="cut-files",
    replacements={"vmcore.object_page_remove.vm_object_page_remove": vm_object_page_remove},
)
