"""The swap map against a model: first fit, owners, and what a wrong owner gets."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from harness.errors import Panic
from tests.vmcore.builders import close_vm, leaks, make_vm
from vmcore.pager.swap_map import swap_map_alloc, swap_map_free

PAGES = 40


def test_page_0_is_never_given_out(vm):
    assert swap_map_alloc(vm, 1, 7) == 1


def test_giving_back_another_blocks_page_is_refused_and_changes_nothing(vm):
    first = swap_map_alloc(vm, 4, 7)
    swap_map_alloc(vm, 4, 8)

    with pytest.raises(Panic, match="belongs to block 8"):
        swap_map_free(vm, first, 5, 7)

    assert vm.g.swap_used == 8
    assert list(vm.swap_owners[1:9]) == [7] * 4 + [8] * 4
    assert vm.swap_map_lock.held() is False


class SwapMap(RuleBasedStateMachine):
    """The model: a list with the owner of each page; first fit by hand."""

    def __init__(self):
        super().__init__()
        self.vm = make_vm(pages=32, swap_pages=PAGES, contracts=False)
        self.owners = [-1] + [0] * PAGES
        self.runs: list[tuple[int, int, int]] = []
        self.next_owner = 1

    @rule(pages=st.integers(1, 12))
    def allocate(self, pages):
        owner, self.next_owner = self.next_owner, self.next_owner + 1
        starts = (i for i in range(1, PAGES + 2 - pages) if not any(self.owners[i : i + pages]))
        expected = next(starts, 0)

        assert swap_map_alloc(self.vm, pages, owner) == expected

        if expected:
            self.owners[expected : expected + pages] = [owner] * pages
            self.runs.append((expected, pages, owner))

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def free(self, data):
        first, pages, owner = self.runs.pop(data.draw(st.integers(0, len(self.runs) - 1)))

        swap_map_free(self.vm, first, pages, owner)

        self.owners[first : first + pages] = [0] * pages

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def free_as_another(self, data):
        first, pages, owner = data.draw(st.sampled_from(self.runs))

        with pytest.raises(Panic):
            swap_map_free(self.vm, first, pages, owner + 1000)

    @invariant()
    def agrees(self):
        assert list(self.vm.swap_owners[1:]) == self.owners[1:]
        assert list(self.vm.swap_map) == [int(owner != 0) for owner in self.owners]
        assert self.vm.g.swap_used == sum(owner > 0 for owner in self.owners)

    def teardown(self):
        assert leaks(self.vm) == []
        close_vm(self.vm)


TestSwapMap = SwapMap.TestCase
TestSwapMap.settings = settings(max_examples=25, stateful_step_count=30)
