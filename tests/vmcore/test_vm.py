"""A VM's beginning: sizes, attaching from another process, what belongs to a thread."""

import os
import threading

import pytest

from harness.errors import BadInput
from harness.shm.arena import Arena
from tests.vmcore.builders import Team, load, new_object, store
from vmcore.boot import arena_size, attach, boot
from vmcore.config import Config
from vmcore.stats import counters, gauges


@pytest.mark.parametrize("pages", [16, 32, 128, 200, 2048, 65536])
def test_thresholds_are_in_order_on_every_machine(pages):
    config = Config(pages=pages)

    assert 0 < config.free_reserved < config.free_min < config.free_target < pages


@pytest.mark.parametrize(
    "sizes",
    [{"pages": 0}, {"pages": 4}, {"page_size": 1000}, {"vnodes": 1, "files": (1, 1)}, {"objects": -1}],
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(BadInput):
        Config(**sizes)


@pytest.mark.parametrize(
    "sizes", [{}, {"pages": 16, "objects": 2, "entries": 1, "mappings": 1}, {"page_size": 8192}]
)
def test_arena_size_is_enough(sizes):
    config = Config(**sizes)
    arena = Arena.create("sized", size=arena_size(config))

    vm = boot(arena, config)

    assert vm.g.v_free_count == config.pages
    assert vm.page_size == config.page_size
    for descriptor in (vm.swap_fd, *vm.files):
        os.close(descriptor)
    arena.native.leave()
    arena.close()


def test_another_process_that_attaches_sees_memory_swap_and_files(vm_of):
    vm = vm_of(files=(4096,))
    obj = new_object(vm, 4)
    store(vm, obj, 0, 77)
    assert vm.io.swap_write(5, memoryview(b"s" * vm.page_size))
    os.pwrite(vm.files[0], b"file", 0)
    creator = os.getpid()

    def look(_vm):
        # As a process that was not forked from us: it knows a path, and opens everything anew.
        other = attach(Arena._map(f"/proc/{creator}/fd/{_vm.arena.fd}"))
        assert other.config == Config(**{**vars_of(vm.config), "files": ()})
        assert load(other, other.objects.views[obj.slot], 0) == 77
        memory = bytearray(other.page_size)
        assert other.io.swap_read(5, memoryview(memory))
        assert memory == b"s" * other.page_size
        assert other.swap_fd != _vm.swap_fd
        assert os.pread(other.files[0], 4, 0) == b"file"

    team = Team(vm)
    team.start("other", look)

    assert team.wait() == {"other": "fine"}


def vars_of(config):
    return {name: getattr(config, name) for name in Config.__dataclass_fields__}


def test_each_thread_and_each_child_has_its_own_counters_and_release_list(vm):
    vm.me.stats.v_faults += 1
    vm.me.release_list.append((None, False))
    rows = [vm.me.stats]

    def other():
        assert vm.me.release_list == []
        assert not vm.me.is_daemon
        vm.me.stats.v_faults += 10
        rows.append(vm.me.stats)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(30)

    def child(vm):
        assert vm.me.release_list == []
        vm.me.stats.v_faults += 100

    team = Team(vm)
    team.start("child", child)
    assert team.wait() == {"child": "fine"}

    assert rows[0] is not rows[1]
    assert rows[0].v_faults == 1
    assert counters(vm)["v_faults"] == 111
    vm.me.release_list.clear()


def test_the_store_fails_on_request_without_being_touched(vm):
    page = memoryview(b"n" * vm.page_size)
    assert vm.io.swap_write(3, page)
    seen = []

    def hook(kind, what, length):
        seen.append((kind, what, length))
        return False

    vm.io.hook = hook

    assert not vm.io.swap_write(3, memoryview(bytes(vm.page_size)))
    assert not vm.io.swap_read(3, memoryview(bytearray(vm.page_size)))
    vm.io.hook = None
    memory = bytearray(vm.page_size)
    assert vm.io.swap_read(3, memoryview(memory))

    assert seen == [("swap_write", 3, vm.page_size), ("swap_read", 3, vm.page_size)]
    assert memory == page


def test_i_o_under_a_mutex_is_reported(vm):
    from tests.vmcore.builders import allow_reports, reports

    allow_reports(vm)

    with vm.page_queue_lock:
        vm.io.swap_read(3, memoryview(bytearray(vm.page_size)))

    assert len(reports(vm)) == 1


def test_gauges_name_lengths_as_of_now(vm):
    obj = new_object(vm, 1)
    store(vm, obj, 0, 1)

    now = gauges(vm)

    assert (now["v_active_count"], now["vm_object_count"]) == (1, 3)
    assert now["v_free_count"] == vm.config.pages - 1
