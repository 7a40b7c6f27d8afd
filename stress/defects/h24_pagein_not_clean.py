"""H24: a page that was just read from the disk is taken for dirty."""

from __future__ import annotations

from stress.defect import Defect
from stress.oracles.at_rest import InvariantViolated
from stress.script.scene import Scene
from stress.script.script import Script
from vmcore.constants import PG_CLEAN, PG_FAKE
from vmcore.page.page_flags import clear_flags_o
from vmcore.stats import counters
from vmcore.structs import VmPage
from vmcore.vm import Vm


def page_was_read(vm: Vm, page: VmPage) -> None:
    """As the repaired step, without a word about being clean.

    Enter:  anything.
    Exit:   same.
    Takes:  nothing.
    Sleeps: never.
    """
    clear_flags_o(vm, page, PG_FAKE | PG_CLEAN)


def scene(scene: Scene) -> None:
    """P's only page is in swap."""
    scene.map("P", "O")
    scene.put("O", 0, 1)
    scene.swap_out("O")


def read_and_age(scene: Scene) -> None:
    """Load the page; then the daemon comes to it."""
    scene.expect("P", 0, 1)
    scene.age("O")
    scene.scan("O")


def not_written_again(scene: Scene) -> None:
    """What was only read is in swap already.  InvariantViolated."""
    written = counters(scene.vm)["v_pgpgout"]
    if written:
        raise InvariantViolated([f"{written} pages were written out, and none was stored to"])
    scene.expect("P", 0, 1)


script = Script(
    scene=scene,
    roles={"F": read_and_age},
    cues=(("F", "exit fault_search.page_in(O)"), ("F", "enter pageout.scan_page")),
    check=not_written_again,
)

defect = Defect(
    id="H24",
    name="pagein-not-clean",
    origin="documented",
    quote="a page is clean after its page-in, and its modify bit must be cleared there",
    interleaving=(
        "F: a page-in brings page m back from swap: it is not marked clean",
        "P: reads m, and nothing else",
        "D: m becomes inactive: dirty, so it is written to swap, where it is already",
    ),
    symptom="every page is written again whenever it was read: twice the traffic, half of it for nothing",
    verdicts=("invariant_violation",),
    scenario="second-reading",
    replacements={"fault_search.page_was_read": page_was_read},
    script=script,
)
