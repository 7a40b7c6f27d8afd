"""L39: of several that wait for the paging count one is woken.

The same switch as the third form of H6; docs/reference lists it twice, once as what a log says and
once as what the code of other systems does.
"""

from __future__ import annotations

from stress.defect import Defect
from stress.defects.h6c_wake_one import script, wake_paging_waiters

defect = Defect(
    id="L39",
    name="notify-one",
    origin="reconstructed",
    quote="read from the code: a wakeup of one, for a condition that several wait for",
    interleaving=(
        "F: pages on O, pip 0 -> 1   []",
        "A, C: sleep until pip is 0; O is marked WAITING   []",
        "F: pip 1 -> 0, clears WAITING, wakes A",
        "C: sleeps on; WAITING is clear, so no thread will ever wake it",
    ),
    symptom="one of several processes that wait for the same object never comes back",
    verdicts=("lost_wakeup",),
    scenario="fork-storm",
    replacements={"object_paging.wake_paging_waiters": wake_paging_waiters},
    notes="The same switch as H6c.",
    script=script,
)
