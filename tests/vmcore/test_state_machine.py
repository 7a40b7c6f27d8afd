"""The state machine over the whole public surface: with plenty of swap, and with hardly any.

The VM is booted once and must be left empty by every example, so one step costs little more than
the audit that follows it.  ``make slow`` plays a hundred times as many examples.
"""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.vmcore.machine.machine import Machine
from tests.vmcore.machine.rig import Rig
from vmcore.stats import counters

STEPS = 50
MOST_TURNS = 4
PLENTY, HARDLY_ANY, SMALLEST = 256, 16, 10  # pages of swap
MOST_PARTS = 20
# Examples of a part, and parts: what a part does is bounded by its examples, so that none takes minutes on a
# machine that has other things to do, and more workers have something to do.
FEW, FEW_PARTS, MANY, PARTS = 125, 4, 12_500, 4
HAPPENED = ("v_cow_faults", "v_pageins", "v_pageouts", "v_dfree", "object_collapses", "object_bypasses")


@pytest.mark.parametrize("swap_pages", [PLENTY, HARDLY_ANY])
@pytest.mark.parametrize("part", range(FEW_PARTS))
def test_every_operation_in_any_order_does_what_the_model_says(swap_pages, part):
    steps, _ = drive(swap_pages, FEW)

    assert steps > FEW * STEPS / 4, "most examples ended at once"


def test_swap_that_hardly_suffices_runs_short_and_the_model_knows():
    """Whether one part runs short is chance; so parts are played until one does."""
    for _ in range(MOST_PARTS):
        _, shortages = drive(SMALLEST, FEW // 5, much_happens=False)
        if shortages:
            return
    pytest.fail(f"{MOST_PARTS} times {FEW // 5} examples with {SMALLEST} pages of swap, and never a shortage")


@pytest.mark.slow
@pytest.mark.parametrize("swap_pages", [PLENTY, HARDLY_ANY])
@pytest.mark.parametrize("part", range(PARTS))
def test_a_hundred_times_as_many_examples(swap_pages, part):
    steps, shortages = drive(swap_pages, MANY)

    assert steps > MANY * STEPS / 4
    assert bool(shortages) == (swap_pages == HARDLY_ANY)


def drive(swap_pages, examples, much_happens=True):
    """Play so many examples: (steps made, shortages met).  A failure prints its shortest program.

    What the examples drew is chance: as many are played again while hardly anything happened in them.
    """
    rig, steps, few = Rig(swap_pages=swap_pages), 0, {}
    play = type("Play", (Machine,), {"rig": rig})
    least = examples / (5 if examples >= MANY else 20)
    try:
        for _ in range(MOST_TURNS):
            run_state_machine_as_test(
                play, settings=settings(max_examples=examples, stateful_step_count=STEPS, print_blob=True)
            )
            assert rig.vm is not None
            happened, steps = counters(rig.vm), rig.steps
            few = {name: happened[name] for name in HAPPENED if happened[name] < least}
            if not (much_happens and few):
                break
    finally:
        rig.close()

    assert not much_happens or few == {}, "hardly anything happened; this would prove nothing"
    assert swap_pages != PLENTY or not rig.shortages
    return steps, rig.shortages
