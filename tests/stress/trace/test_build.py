import pytest

from stress.ops.address_map import EXECUTE, READ, WRITE
from stress.trace import FileInfo, Plan, TraceError
from stress.trace.ops import (
    PAGE,
    After,
    DontNeed,
    Exec,
    Exit,
    Fork,
    Lock,
    MapAnon,
    MapFile,
    Mremap,
    Msync,
    Protect,
    Unlock,
    Unmap,
    Wait,
)

RW = READ | WRITE
START = '7 execve("prog", ["prog"], 0x1 /* 2 vars */) = 0'
THREAD = "CLONE_VM|CLONE_THREAD"


def body(plan: Plan, task: int = 0):
    """The ops of a task without the Exec that starts it and the Exit that ends it."""
    ops = plan.tasks[task].ops
    assert isinstance(ops[-1], Exit)
    return list(ops[1 if isinstance(ops[0], Exec) else 0 : -1])


def spans(maps):
    return [(m.addr, m.addr + m.length) for m in maps]


def test_anonymous_maps_keep_addresses_rights_and_sharing(plan):
    made = plan(
        START,
        "7 mmap(NULL, 5000, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x10000",
        "7 mmap(0x20000, 4096, PROT_NONE, MAP_SHARED|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = 0x20000",
        "7 munmap(0x10000, 5000) = 0",
    )

    assert body(made) == [
        MapAnon(0x10000, 2 * PAGE, RW, False, False),
        MapAnon(0x20000, PAGE, 0, True, True),
        Unmap(0x10000, 2 * PAGE),
    ]


def test_a_file_mapping_is_cut_to_the_cap_and_moved_down_until_it_fits(plan):
    made = plan(
        START,
        "7 mmap(NULL, 409600, PROT_READ, MAP_PRIVATE, 3</lib>, 0) = 0x100000",
        "7 mmap(0x150000, 8192, PROT_READ|PROT_EXEC, MAP_SHARED|MAP_FIXED, 3</lib>, 0x50000) = 0x150000",
        "7 mmap(NULL, 100, PROT_READ, MAP_PRIVATE, 4</small>, 0x1000) = 0x900000",
        max_file_pages=4,
    )

    assert body(made) == [
        MapFile(0x100000, 4 * PAGE, READ, False, False, 0, 0),
        MapFile(0x150000, 2 * PAGE, READ | EXECUTE, True, True, 0, 2 * PAGE),
        MapFile(0x900000, PAGE, READ, False, False, 1, PAGE),
    ]
    assert made.files[:2] == (FileInfo("/lib", 4 * PAGE), FileInfo("/small", 2 * PAGE))


def test_rights_change_only_where_the_cut_mapping_still_is(plan):
    made = plan(
        START,
        "7 mmap(NULL, 40960, PROT_READ, MAP_PRIVATE, 3</lib>, 0) = 0x100000",
        "7 mmap(0x109000, 4096, PROT_READ, MAP_PRIVATE|MAP_FIXED|MAP_ANONYMOUS, -1, 0) = 0x109000",
        "7 mprotect(0x100000, 40960, PROT_NONE) = 0",
        max_file_pages=4,
    )

    assert body(made)[2:] == [Protect(0x100000, 4 * PAGE, 0), Protect(0x109000, PAGE, 0)]


def test_the_heap_grows_and_shrinks_from_the_break_of_its_image(plan):
    made = plan(
        START,
        "7 brk(NULL) = 0x555000",
        "7 brk(0x557000) = 0x557000",
        "7 brk(0x999000) = 0x557000",
        "7 brk(0x556000) = 0x556000",
        START,
        "7 brk(NULL) = 0x777000",
        "7 brk(0x778000) = 0x778000",
    )

    assert [op for op in body(made) if not isinstance(op, Exec)] == [
        MapAnon(0x555000, 2 * PAGE, RW, False, True),
        Unmap(0x556000, PAGE),
        MapAnon(0x777000, PAGE, RW, False, True),
    ]


def test_failed_and_unfinished_and_unknown_calls_change_nothing(plan):
    made = plan(
        START,
        "7 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = -1 ENOMEM (No memory)",
        "7 fork() = ? ERESTARTNOINTR (To be restarted)",
        '7 execve("y", ["y"], 0x1 /* 2 vars */) = -1 ENOENT (No such file or directory)',
        "7 kill(9, SIGTERM) = 0",
        "7 exit_group(0) = ?",
        "7 +++ exited with 0 +++",
    )

    assert [len(task.ops) for task in made.tasks] == [2]


def test_locks_syncs_moves_and_discards_are_kept(plan):
    made = plan(
        START,
        "7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x10000",
        "7 mlock(0x10010, 100) = 0",
        "7 munlockall() = 0",
        "7 msync(0x10000, 8192, MS_SYNC) = 0",
        "7 madvise(0x10000, 4096, MADV_DONTNEED) = 0",
        "7 madvise(0x10000, 4096, MADV_WILLNEED) = 0",
        "7 mremap(0x10000, 8192, 16384, MREMAP_MAYMOVE) = 0x50000",
        "7 mprotect(0x50000, 16384, PROT_READ) = 0",
    )

    assert body(made)[1:] == [
        Lock(0x10000, PAGE),
        Unlock(0, 0),
        Msync(0x10000, 2 * PAGE),
        DontNeed(0x10000, PAGE),
        Mremap(0x10000, 2 * PAGE, 0x50000, 4 * PAGE),
        Protect(0x50000, 4 * PAGE, READ),
    ]


def test_discarding_file_pages_is_left_out(plan):
    made = plan(
        START,
        "7 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3</f>, 0) = 0x10000",
        "7 madvise(0x10000, 4096, MADV_DONTNEED) = 0",
    )

    assert len(body(made)) == 1


def test_moving_a_file_mapping_is_an_unmap_and_a_new_mapping(plan):
    made = plan(
        START,
        "7 mmap(NULL, 8192, PROT_READ, MAP_SHARED, 3</f>, 0x1000) = 0x10000",
        "7 mremap(0x10000, 8192, 4096, MREMAP_MAYMOVE|MREMAP_FIXED, 0x80000) = 0x80000",
    )

    assert body(made)[1:] == [Unmap(0x10000, 2 * PAGE), MapFile(0x80000, PAGE, READ, True, True, 0, PAGE)]


def test_protected_but_unmapped_ranges_belong_to_the_execed_program(plan):
    made = plan(
        START,
        "7 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x50d000",
        "7 mprotect(0x50a000, 8192, PROT_READ) = 0",
        "7 mprotect(0x50d000, 4096, PROT_NONE) = 0",
    )

    text, data, stack = made.tasks[0].ops[0].maps
    # Text below; data as used and above, up to where the log itself maps something.
    assert spans([text, data]) == [(0x502000, 0x50A000), (0x50A000, 0x50D000)]
    assert (text.prot, data.prot, stack.prot) == (READ | EXECUTE, RW, RW)
    assert (text.shared, data.shared) == (False, False)
    assert made.files[text.file] == FileInfo("program prog", 11 * PAGE)
    assert isinstance(stack, MapAnon)


def test_a_range_unmapped_before_is_not_invented_again(plan):
    made = plan(
        START,
        "7 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x10000",
        "7 munmap(0x10000, 4096) = 0",
        "7 munmap(0x10000, 8192) = 0",
    )

    assert spans(made.tasks[0].ops[0].maps)[0] == (0x3F8000, 0x404000 - 0x4000)
    assert body(made)[2] == Unmap(0x10000, 2 * PAGE)


def test_a_forked_childs_program_is_mapped_by_its_ancestors_execve(plan):
    made = plan(
        START,
        "7 fork() = 8",
        "8 mprotect(0x50a000, 4096, PROT_READ) = 0",
        "8 +++ exited with 0 +++",
    )

    assert (0x50A000, 0x50F000) in spans(made.tasks[0].ops[0].maps)
    assert body(made, 1) == [Protect(0x50A000, PAGE, READ)]


def test_a_child_inherits_its_parents_heap_and_an_exec_forgets_it(plan):
    made = plan(
        START,
        "7 brk(NULL) = 0x555000",
        "7 fork() = 8",
        "8 brk(0x556000) = 0x556000",
        '8 execve("other", [], NULL) = 0',
        "8 brk(NULL) = 0x888000",
    )

    assert [type(op) for op in body(made, 1)] == [MapAnon, Exec]
    assert made.tasks[1].ops[1].maps != made.tasks[0].ops[0].maps


@pytest.mark.parametrize(
    ("call", "share", "release"),
    [
        ("fork()", False, False),
        ("clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD)", False, False),
        ("vfork()", True, True),
        ("clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88)", True, True),
        ("clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD} => {parent_tid=[8]}, 88)", True, False),
    ],
)
def test_each_way_to_fork_says_whether_it_shares_and_whether_it_waits(plan, call, share, release):
    made = plan(START, f"7 {call} = 8", "8 +++ exited with 0 +++")

    assert body(made) == [Fork(1, share, release)]


def test_a_vfork_whose_child_is_seen_first_still_comes_before_the_child(plan):
    made = plan(
        START,
        "7 vfork( <unfinished ...>",
        '8 execve("x", ["x"], 0x1 /* 2 vars */ <unfinished ...>',
        "7 <... vfork resumed>) = 8",
        "8 <... execve resumed>) = 0",
        "7 wait4(8, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 8",
    )

    assert body(made) == [Fork(1, True, True), Wait(1)]
    assert [(task.pid, task.parent) for task in made.tasks] == [(7, None), (8, 0)]


def test_a_pid_that_is_used_again_while_its_next_parent_forks_is_two_tasks(plan):
    made = plan(
        START,
        "7 fork() = 8",
        "7 fork() = 9",
        "9 fork( <unfinished ...>",
        "8 +++ exited with 0 +++",
        "7 wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 8",
        "8 brk(NULL) = 0x1000",
        "9 <... fork resumed>) = 8",
        "9 wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 8",
    )

    assert [(task.pid, task.parent) for task in made.tasks] == [(7, None), (8, 0), (9, 0), (8, 2)]
    assert body(made)[-1] == Wait(1)
    assert body(made, 2) == [Fork(3, False, False), Wait(3)]


def test_only_waits_that_reap_are_waits(plan):
    made = plan(
        START,
        "7 fork() = 8",
        "7 wait4(8, 0x7ff, WNOHANG, NULL) = 0",
        "7 wait4(8, [{WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP}], WUNTRACED, NULL) = 8",
        "7 waitid(P_ALL, 0, {si_signo=SIGCHLD, si_code=CLD_CONTINUED, si_pid=8}, WCONTINUED, NULL) = 0",
        "7 waitid(P_ALL, 0, {}, WNOHANG|WEXITED, NULL) = 0",
        "7 waitid(P_PID, 8, {si_signo=SIGCHLD, si_code=CLD_KILLED, si_pid=8, si_uid=0}, WEXITED, NULL) = 0",
        "7 wait4(99, NULL, 0, NULL) = 99",
    )

    assert body(made) == [Fork(1, False, False), Wait(1)]


def test_nothing_happens_after_an_exit_and_a_missing_exit_is_added(plan):
    made = plan(
        START,
        "7 fork() = 8",
        "7 exit_group(0) = ?",
        "7 brk(NULL) = 0x1000",
        "7 fork() = 9",
        "7 +++ exited with 0 +++",
    )

    assert [task.ops[-1] for task in made.tasks] == [Exit(), Exit()]
    assert made.tasks[1].ops == (Exit(),)


def test_a_task_that_was_attached_late_is_a_root_with_a_program(plan):
    made = plan("7 mprotect(0x50a000, 4096, PROT_READ) = 0", "8 munmap(0x60a000, 4096) = 0")

    assert [task.parent for task in made.tasks] == [None, None]
    for task, addr in zip(made.tasks, (0x50A000, 0x60A000), strict=True):
        assert not task.ops[0].seen
        assert addr in [m.addr for m in task.ops[0].maps]
    assert made.summary()["execs"] == 0


def test_threads_that_reuse_each_others_addresses_keep_their_order(plan):
    made = plan(
        START,
        "7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x10000",
        f"7 clone3({{flags={THREAD}}}, 88) = 8",
        "7 munmap(0x10000, 4096) = 0",
        "8 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x10000",
        "8 mmap(NULL, 4096, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x90000",
        "8 exit(0) = ?",
        "7 munmap(0x11000, 4096) = 0",
    )

    assert body(made, 1)[:2] == [After(0, 4), MapAnon(0x10000, PAGE, READ, False, False)]
    assert len(body(made, 1)) == 3  # 0x90000 is used by one thread only: no order
    assert body(made)[-2:] == [After(1, 4), Unmap(0x11000, PAGE)]
    # Each stays away from what the other changes while both live.
    assert made.tasks[1].avoid == ((0x10000, 0x11000),)
    assert made.tasks[0].avoid == ((0x10000, 0x11000), (0x90000, 0x91000))


def test_a_child_does_not_get_changes_of_its_parents_other_threads(plan):
    made = plan(
        START,
        "7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x10000",
        f"7 clone3({{flags={THREAD}}}, 88) = 8",
        "8 munmap(0x10000, 4096) = 0",
        "7 fork() = 9",
    )

    assert made.tasks[2].avoid == ((0x10000, 0x11000),)
    assert body(made)[2:] == [After(1, 1), Fork(2, False, False)]


def test_a_thread_that_executes_a_program_goes_on_under_its_leaders_pid(plan):
    made = plan(
        START,
        f"7 clone3({{flags={THREAD}}}, 88) = 8",
        '8 execve("x", ["x"], 0x1 /* 2 vars */ <unfinished ...>',
        "7 +++ superseded by execve in pid 8 +++",
        "7 <... execve resumed>) = 0",
        "7 brk(NULL) = 0x1000",
        "7 brk(0x2000) = 0x2000",
    )

    assert body(made) == [Fork(1, True, False)]
    assert [type(op) for op in made.tasks[1].ops] == [Exec, MapAnon, Exit]


def test_a_log_in_which_tasks_outlive_each_other_is_refused(plan):
    with pytest.raises(TraceError, match="2 tasks can never finish"):
        plan(
            START,
            "7 fork() = 8",
            "8 wait4(7, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 7",
            "7 wait4(8, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 8",
        )


def test_arguments_without_sense_are_an_error_at_their_line(plan):
    with pytest.raises(TraceError, match=r"line 2: mmap with arguments.*'mmap\(NULL, many"):
        plan(START, "7 mmap(NULL, many, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x10000")
