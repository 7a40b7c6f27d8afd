"""Named memory: one object per name, as long as some process maps it, whichever come and go."""

import random

import pytest

from harness.errors import Panic
from tests.harness.actors import wait_until
from tests.vmcore.builders import locked, new_object, services
from tests.vmcore.builders_files import asleep, mapped, show, store, thread
from tests.vmcore.builders_objects import empty_space, live_objects, resident, swap_out, swapped
from vmcore.audit.audit import all_gone, audit
from vmcore.constants import (
    KERN_INVALID_ARGUMENT,
    KERN_NO_SPACE,
    KERN_RESOURCE_SHORTAGE,
    OBJ_DYING,
    OBJ_INTERNAL,
)
from vmcore.object.deallocate import vm_object_deallocate
from vmcore.object.object_cache import cache_clear
from vmcore.object.object_pages import vm_object_page_clean
from vmcore.object.pager_named import swap_pager_named
from vmcore.pager.swap_io import next_write, reap, write_record
from vmcore.space.access import vm_read
from vmcore.space.map_named import vm_allocate_with_pager, vm_map_named
from vmcore.space.map_user import vm_map_file
from vmcore.space.vmspace import space_map, vmspace_exit, vmspace_fork
from vmcore.vm_error import VmError

PAGES, NAME = 4, 77


@pytest.fixture
def vm(vm_of):
    return vm_of(files=(4096,))


def map_name(vm, name=NAME, pages=PAGES, offset=0, address=None):
    space = empty_space(vm)
    size = vm.page_size
    return space, vm_map_named(vm, space_map(vm, space), name, pages * size, offset * size, address)


def object_of(vm, name=NAME):
    found = swap_pager_named(vm, name, PAGES * vm.page_size)
    assert found is not None
    return found


def clear(vm, *spaces):
    for space in spaces:
        vmspace_exit(vm, space)
    assert all_gone(vm) == []


def test_mappings_of_one_name_are_the_same_memory(vm):
    (one, here), (two, there), (other, elsewhere) = map_name(vm), map_name(vm), map_name(vm, NAME + 1)

    store(vm, one, here + vm.page_size, 5)

    assert show(vm, two, there + vm.page_size) == 5
    assert show(vm, other, elsewhere + vm.page_size) == 0
    assert len(live_objects(vm)) == 2
    assert audit(vm) == []
    clear(vm, one, two, other)


def test_its_contents_last_as_long_as_a_process_maps_it(vm):
    one, here = map_name(vm)
    store(vm, one, here, 5)
    two, there = map_name(vm)
    vmspace_exit(vm, one)
    assert show(vm, two, there) == 5

    vmspace_exit(vm, two)

    assert all_gone(vm) == []  # without cache_clear: the cache would have to lose it some day
    three, anew = map_name(vm)
    assert show(vm, three, anew) == 0
    clear(vm, three)


def test_a_child_shares_it(vm):
    parent, start = map_name(vm)
    child = vmspace_fork(vm, parent)

    store(vm, child, start, 5)

    assert show(vm, parent, start) == 5
    clear(vm, parent, child)


def test_it_goes_to_swap_and_comes_back(vm):
    space, start = map_name(vm)
    for page in range(PAGES):
        store(vm, space, start + page * vm.page_size, page + 1)
    obj = object_of(vm)
    swap_out(vm, obj)
    assert (resident(vm, obj), swapped(vm, obj)) == ([], PAGES)

    assert [show(vm, space, start + page * vm.page_size) for page in range(PAGES)] == [1, 2, 3, 4]

    assert not obj.flags & OBJ_INTERNAL
    assert obj.is_hashed
    vm_object_deallocate(vm, obj)
    clear(vm, space)


def test_a_part_of_it_can_be_mapped_but_nothing_beyond(vm):
    whole, here = map_name(vm)
    part, there = map_name(vm, pages=1, offset=3)
    store(vm, part, there, 9)

    assert show(vm, whole, here + 3 * vm.page_size) == 9
    for pages, offset in ((PAGES + 1, 0), (1, PAGES)):
        with pytest.raises(VmError) as refused:
            map_name(vm, pages=pages, offset=offset)
        assert refused.value.code == KERN_INVALID_ARGUMENT
    for name, pages in ((0, 1), (NAME, 0)):
        with pytest.raises(VmError) as refused:
            map_name(vm, name, pages)
        assert refused.value.code == KERN_INVALID_ARGUMENT
    for space in (whole, part):
        vmspace_exit(vm, space)
    assert live_objects(vm) == set()


def test_where_it_does_not_fit_the_reference_is_given_back(vm):
    space = empty_space(vm)
    end = space_map(vm, space).max_offset

    with pytest.raises(VmError) as refused:
        vm_map_named(vm, space_map(vm, space), NAME, 2 * vm.page_size, 0, end - vm.page_size)

    assert refused.value.code == KERN_NO_SPACE
    clear(vm, space)


def test_without_records_nothing_changes(vm_of):
    vm = vm_of(pagers=1)
    one, _ = map_name(vm)
    space = empty_space(vm)

    with pytest.raises(VmError) as refused:
        vm_map_named(vm, space_map(vm, space), NAME + 1, vm.page_size)

    assert refused.value.code == KERN_RESOURCE_SHORTAGE
    clear(vm, one, space)


def test_the_object_of_a_pager_can_be_mapped_by_the_pager(vm):
    one, here = map_name(vm)
    store(vm, one, here, 5)
    obj = object_of(vm)
    two = empty_space(vm)

    there = vm_allocate_with_pager(vm, space_map(vm, two), vm.pagers(obj.pager), PAGES * vm.page_size)

    assert show(vm, two, there) == 5
    vm_object_deallocate(vm, obj)
    clear(vm, one, two)
    loose = vm.pagers.allocate()
    two = empty_space(vm)
    with pytest.raises(VmError) as refused:
        vm_allocate_with_pager(vm, space_map(vm, two), loose, vm.page_size)
    assert refused.value.code == KERN_INVALID_ARGUMENT
    vm.pagers.free(loose)
    clear(vm, two)


def test_a_name_and_a_file_are_not_confused(vm):
    name = vm.vnodes.ref(vm.vnodes.views[1])  # the very handle of the file's pager
    file, here = mapped(vm, 1, True)
    named, there = map_name(vm, name, 1)

    store(vm, named, there, 5)

    assert show(vm, file, here) == 0
    vmspace_exit(vm, file)
    cache_clear(vm)
    assert show(vm, named, there) == 5
    clear(vm, named)


def test_a_mapping_that_meets_a_dying_name_waits_and_gets_new_memory(vm):
    one, here = map_name(vm)
    store(vm, one, here, 5)
    obj = object_of(vm)
    with locked(obj):
        assert vm_object_page_clean(vm, obj, 0, 0, False, False)  # its write stays in flight
    vm_object_deallocate(vm, obj)
    assert obj.paging_in_progress == 1
    found = []

    with thread(vmspace_exit, vm, one):
        wait_until(lambda: obj.flags & OBJ_DYING and asleep(obj.chan), "the sleep of the terminator")
        with thread(lambda: found.append(map_name(vm))):
            wait_until(lambda: asleep(vm.named_chan), "the sleep of the new mapper")
            assert not vm.handle_lock.locked()  # the terminator will need it
            record = next_write(vm)
            assert record is not None
            write_record(vm, record)
            assert reap(vm, True) == 1

    space, start = found[0]
    assert show(vm, space, start) == 0
    clear(vm, space)


def user(vm, me, rounds):
    """One's own page of every name holds one's last number as long as one maps it; else that, or zero."""
    rng = random.Random(me)
    last = [0, 0, 0]
    for turn in range(1, rounds + 1):
        name = rng.randrange(3)
        space, start = map_name(vm, name + 1)
        mine = start + me * vm.page_size
        assert show(vm, space, mine) in (0, last[name])
        assert store(vm, space, mine, turn)
        last[name] = turn
        child = vmspace_fork(vm, space)
        for page in range(PAGES):
            if page != me:
                words = memoryview(vm_read(vm, child, start + page * vm.page_size)).cast("Q")
                assert max(words) <= rounds
        for one in rng.sample((space, child), 2):
            assert show(vm, one, mine) == turn
            vmspace_exit(vm, one)


def test_names_that_come_and_go_under_their_users(vm_of):
    vm = vm_of(pages=64)
    with services(vm) as team:
        names = [f"user {me}" for me in range(3)]
        for me, name in enumerate(names):
            team.start(name, user, me, 150)

        said = team.wait(*names)

        assert said == dict.fromkeys(said, "fine"), "\n".join(said.values())
    assert all_gone(vm) == []
    assert vm.g.named_first == 0


def test_nothing_is_mapped_before_its_pager_is_there(vm, monkeypatch):
    bare = new_object(vm, PAGES)
    monkeypatch.setattr("vmcore.space.map_named.swap_pager_named", lambda *_: bare)
    monkeypatch.setattr("vmcore.space.map_user.vnode_pager_alloc", lambda *_: bare)
    space = empty_space(vm)

    with pytest.raises(Panic, match="before its pager"):
        vm_map_named(vm, space_map(vm, space), NAME, vm.page_size)
    with pytest.raises(Panic, match="before its pager"):
        vm_map_file(vm, space_map(vm, space), vm.vnodes.views[1], vm.page_size)

    assert space_map(vm, space).nentries == 0
    vm_object_deallocate(vm, bare)
    clear(vm, space)
