import gzip
import pickle
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError
from stress.trace import Event, Kind, TraceError, parse_lines, parse_trace, shipped
from stress.trace.parse import split_args

# Counted with zcat | grep -c, not with the parser.
COUNTED = {
    #            lines, ids, unfinished, exits, killed, signals, ENOENT, ECHILD, mapped
    "configure": (46811, 1953, 2920, 1953, 0, 1664, 469, 1383, 18950),
    "make": (4314, 121, 312, 121, 0, 89, 32, 77, 1837),
    "pool": (2705, 99, 166, 96, 3, 92, 198, 40, 1123),
}


def one(line: str) -> Event:
    (event,) = parse_lines([line])
    return event


@pytest.mark.parametrize("name", COUNTED)
def test_the_events_of_a_shipped_trace_add_up_to_what_grep_counts(events_of, name):
    lines, ids, unfinished, exits, killed, signals, enoent, echild, mapped = COUNTED[name]

    events = events_of(name)

    assert len(events) == lines - unfinished
    assert max(e.end_line for e in events) == lines
    assert len({e.pid for e in events}) == ids
    assert sum(e.line != e.end_line for e in events) == unfinished
    assert sum(e.kind == Kind.EXITED for e in events) == exits
    assert sum(e.kind == Kind.KILLED for e in events) == killed
    assert sum(e.kind == Kind.SIGNAL for e in events) == signals
    assert sum(e.errno == "ENOENT" for e in events) == enoent
    assert sum(e.errno == "ECHILD" for e in events) == echild
    assert sum(e.name == "mmap" and (e.result or 0) > 0 for e in events) == mapped


@pytest.mark.parametrize("name", COUNTED)
def test_every_pid_keeps_its_program_order(events_of, name):
    last: dict[int, tuple[int, float]] = {}

    for event in events_of(name):
        if event.kind == Kind.CALL:
            assert last.get(event.pid, (0, 0.0)) < (event.line, event.time)
            last[event.pid] = (event.end_line, event.end_time or event.time)


def test_a_plain_call_has_all_its_values():
    event = one("12 0.25 mmap(NULL, 35087, PROT_READ, MAP_PRIVATE, 3</file/1>, 0) = 0x7fe70d54a000")

    args = ("NULL", "35087", "PROT_READ", "MAP_PRIVATE", "3</file/1>", "0")
    assert event == Event(1, 12, 0.25, "mmap", args, 0x7FE70D54A000, None, Kind.CALL, 1, 0.25)


def test_a_failed_call_names_its_errno():
    event = one('12 0.25 execve("x", ["x"], 0x1 /* 35 vars */) = -1 ENOENT (No such file or directory)')

    assert (event.result, event.errno) == (-1, "ENOENT")
    assert event.args == ('"x"', '["x"]', "0x1 /* 35 vars */")


def test_a_call_that_will_be_restarted_has_no_result():
    event = one("12 0.25 clone(child_stack=NULL, flags=SIGCHLD) = ? ERESTARTNOINTR (To be restarted)")

    assert (event.result, event.errno) == (None, "ERESTARTNOINTR")


def test_absolute_times_are_seconds_of_the_epoch():
    event = one("12 1700000000.123456 brk(NULL) = 0x1000")

    assert event.time == 1700000000.123456


def test_a_pid_may_stand_in_brackets_and_strace_may_talk_about_itself():
    events = list(
        parse_lines(["strace: Process 13 attached", "[pid    13] 0.5 brk(NULL) = 0x1000 <0.000012>"])
    )

    assert [(e.pid, e.line, e.result) for e in events] == [(13, 2, 0x1000)]


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("", ()),
        ('"a, b)", 1', ('"a, b)"', "1")),
        (r'"quote \" and \\", 2', (r'"quote \" and \\"', "2")),
        ("[{a=1, b={2, 3}}, 4], 5", ("[{a=1, b={2, 3}}, 4]", "5")),
        ("3</tmp/a, b) c>, 0", ("3</tmp/a, b) c>", "0")),
        ("3<TCP:[127.0.0.1:80->127.0.0.1:90]>, 0", ("3<TCP:[127.0.0.1:80->127.0.0.1:90]>", "0")),
        ("1</dev/pts/0<char 136:0>>, 0", ("1</dev/pts/0<char 136:0>>", "0")),
        ("MAP_HUGETLB|21<<MAP_HUGE_SHIFT, -1", ("MAP_HUGETLB|21<<MAP_HUGE_SHIFT", "-1")),
        ("{flags=CLONE_VM} => {parent_tid=[7]}, 88", ("{flags=CLONE_VM} => {parent_tid=[7]}", "88")),
    ],
)
def test_only_commas_at_the_top_level_separate_arguments(text, args):
    assert split_args(f"f({text}) = 0", 2) == (args, len(text) + 3)


def test_a_call_in_two_halves_is_one_event_from_start_to_end(log):
    events = log(
        "7 wait4(-1,  <unfinished ...>",
        "8 exit_group(0)   = ?",
        "8 +++ exited with 0 +++",
        "7 <... wait4 resumed>[{WIFEXITED(s) && WEXITSTATUS(s) == 0}], 0, NULL) = 8",
    )

    assert [(e.name, e.line, e.end_line) for e in events] == [
        ("exit_group", 2, 2), ("exited", 3, 3), ("wait4", 1, 4),
    ]  # fmt: skip
    assert events[-1].args == ("-1", "[{WIFEXITED(s) && WEXITSTATUS(s) == 0}]", "0", "NULL")
    assert (events[-1].time, events[-1].end_time, events[-1].result) == (1.5, 4.5, 8)


def test_a_split_clone3_keeps_its_flags_and_follows_its_childs_first_call(log):
    events = log(
        "7 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD, stack=0x1000}, 88 <unfinished ...>",
        '8 execve("x", ["x"], 0x1 /* 2 vars */) = 0',
        "7 <... clone3 resumed>) = 8",
    )

    assert [e.name for e in events] == ["execve", "clone3"]
    assert events[1].args == ("{flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD, stack=0x1000}", "88")
    assert (events[1].line, events[1].result) == (1, 8)


def test_a_call_that_its_process_did_not_survive_has_no_end(log):
    events = log("7 wait4(-1,  <unfinished ...>", "7 +++ killed by SIGKILL (core dumped) +++")

    assert [(e.name, e.kind, e.result, e.end_time) for e in events] == [
        ("wait4", Kind.CALL, None, None),
        ("SIGKILL", Kind.KILLED, None, 2.5),
    ]
    assert events[0].args == ("-1",)


def test_calls_still_under_way_at_the_end_of_the_log_are_fine(log):
    events = log("7 brk(NULL) = 0x1000", "7 vfork( <unfinished ...>")

    assert [(e.name, e.args, e.result, e.end_time) for e in events][1] == ("vfork", (), None, None)


def test_an_execve_of_a_thread_returns_under_the_pid_of_its_leader(log):
    events = log(
        "7 wait4(-1,  <unfinished ...>",
        '8 execve("x", ["x"], 0x1 /* 2 vars */ <unfinished ...>',
        "7 +++ superseded by execve in pid 8 +++",
        "7 <... execve resumed>) = 0",
    )

    assert [(e.pid, e.name, e.result) for e in events] == [
        (7, "wait4", None), (7, "superseded", 8), (7, "execve", 0),
    ]  # fmt: skip


def test_signals_and_exits_are_told_apart(log):
    events = log(
        "7 --- SIGCHLD {si_signo=SIGCHLD, si_pid=8} ---",
        "7 --- stopped by SIGSTOP ---",
        "7 +++ exited with 3 +++",
    )

    assert [(e.kind, e.name, e.result) for e in events] == [
        (Kind.SIGNAL, "SIGCHLD", None), (Kind.SIGNAL, "SIGSTOP", None), (Kind.EXITED, "exited", 3),
    ]  # fmt: skip
    assert events[0].args == ("{si_signo=SIGCHLD, si_pid=8}",)


GOOD = "7 0.5 brk(NULL) = 0x1000\n"
DAMAGED = {
    "an empty file": (b"", 0, "the file is empty"),
    "only words of strace itself": (b"strace: Process 8 attached\n", 0, "no event"),
    "a last line without its end": (GOOD.encode() + b"7 0.6 brk(NULL) = 0x10", 2, "cut off"),
    "a line cut in its arguments": (b"7 0.5 mmap(NULL, 4096, PROT\n" + GOOD.encode(), 1, "no end"),
    "a line cut in its result": (GOOD.encode() + b"7 0.5 mmap(NULL, 1) = \n", 2, "no result"),
    "two lines run together": (b"7 0.5 brk(NULL) = 0x10007 0.5 brk(NULL) = 0x1000\n", 1, "no result"),
    "a quote without an end": (b'7 0.5 execve("x, 0) = 0\n', 1, "quoted string"),
    "brackets that do not match": (b"7 0.5 clone3({flags=0], 88) = 8\n", 1, "bracket"),
    "a resumed call that never began": (b"7 0.5 <... brk resumed>) = 0x1\n", 1, "no unfinished call"),
    "the second half of another call": (
        b"7 0.5 brk( <unfinished ...>\n7 0.6 <... mmap resumed>) = 0x1\n",
        2,
        "brk",
    ),
    "a call inside another": (b"7 0.5 brk( <unfinished ...>\n" + GOOD.encode(), 2, "began in line 1"),
    "no pid": (b"brk(NULL) = 0x1000\n", 1, "expected PID SECONDS"),
    "a strange end": (b"7 0.5 +++ vanished +++\n", 1, "end of a process"),
    "binary data": (GOOD.encode() + b"\x00\xff\xfe\n", 2, "binary"),
    "gzip cut short": (gzip.compress(GOOD.encode() * 99)[:-12], 0, "damaged gzip"),
    "gzip with a flipped bit": (
        gzip.compress(b"x")[:10] + b"\xff" + gzip.compress(b"x")[11:],
        0,
        "damaged gzip",
    ),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_log_is_refused_at_its_line_with_a_remedy(tmp_path, kind):
    data, line, why = DAMAGED[kind]
    path = tmp_path / "log"
    path.write_bytes(data)

    with pytest.raises(TraceError) as caught:
        parse_trace(path)

    error = caught.value
    assert isinstance(error, HarnessError)
    assert (error.path, error.line, error.exit_code) == (str(path), line, 2)
    assert why in str(error)
    assert repr(str(path)) in str(error)
    assert (f" line {line}:" in str(error)) == (line > 0)
    assert error.hint == "hangdog run --trace configure"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_missing_file_is_a_trace_error(tmp_path):
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        parse_trace(tmp_path / "nothing")


def test_gzip_is_known_by_its_content_not_its_name(tmp_path):
    (tmp_path / "plain.gz").write_text(GOOD)
    (tmp_path / "packed.log").write_bytes(gzip.compress(GOOD.encode()))

    assert parse_trace(tmp_path / "plain.gz") == parse_trace(tmp_path / "packed.log")


def test_a_shipped_log_cut_anywhere_is_refused_unless_cut_between_lines(tmp_path):
    text = gzip.decompress(shipped("pool").read_bytes())[:6000]
    path = tmp_path / "cut"

    for size in range(5500, 6000):
        path.write_bytes(text[:size])
        if text[size - 1 : size] == b"\n":
            parse_trace(path)
        else:
            with pytest.raises(TraceError) as caught:
                parse_trace(path)
            assert caught.value.line == text[:size].count(b"\n") + 1


def test_shipped_names_are_files_and_others_list_the_names():
    assert all(shipped(name).is_file() for name in COUNTED)
    with pytest.raises(TraceError, match="configure, make, pool"):
        shipped("konfigure")


def test_a_log_of_the_users_own_is_found_by_its_path(tmp_path):
    (tmp_path / "my.log").write_text(GOOD)

    assert shipped(str(tmp_path / "my.log")) == tmp_path / "my.log"


# A writer of logs: from values to lines, as strace does it. -----------------------------------------

WORDS = st.text(string.ascii_letters + string.digits + "_|", min_size=1, max_size=12)
CHARS = st.characters(min_codepoint=32, max_codepoint=126)
QUOTED = st.text(CHARS, max_size=12).map(lambda s: '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"')
NUMBERS = st.integers(-1, 2**63).map(str) | st.integers(0, 2**63).map(hex)
PATHS = st.text(CHARS.filter(lambda c: c not in "<>"), max_size=12).map(lambda s: f"3</{s}>")
COMMENTS = st.integers(0, 99).map(lambda n: f"0x10 /* {n}, (vars */")
LEAVES = WORDS | QUOTED | NUMBERS | PATHS | COMMENTS
ARGS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: "[" + ", ".join(v) + "]")
        | st.dictionaries(st.sampled_from("abc"), inner).map(
            lambda d: "{" + ", ".join(f"{k}={v}" for k, v in d.items()) + "}"
        )
    ),
    max_leaves=5,
)
RESULTS = (
    st.tuples(st.integers(0, 2**63), st.none())
    | st.tuples(st.none(), st.none() | st.just("ERESTARTSYS"))
    | st.tuples(st.just(-1), st.sampled_from(["ENOENT", "EAGAIN"]))
)
NAMES = st.sampled_from(["mmap", "wait4", "clone3", "brk", "futex"])
CALLS = st.tuples(NAMES, st.lists(ARGS, max_size=4).map(tuple), RESULTS, st.none() | st.integers(0, 4))


Call = tuple[str, tuple[str, ...], tuple[int | None, str | None], int | None]


def tail(result: int | None, errno: str | None, spell: bool) -> str:
    value = "?" if result is None else hex(result) if spell and result >= 0 else str(result)
    return f") = {value}" + (f" {errno} (Because, (it) = 7)" if errno else "")


def halves(call: Call, spell: bool) -> list[str]:
    """The text of one call: whole, or cut in front of one of its arguments."""
    name, args, (result, errno), cut = call
    if cut is None:
        return [f"{name}({', '.join(args)}{tail(result, errno, spell)}"]
    cut = min(cut, len(args))
    head, rest = ", ".join(args[:cut]), ", ".join(args[cut:])
    comma = ", " if head and rest else ""
    return [
        f"{name}({head}{comma} <unfinished ...>",
        f"<... {name} resumed>{rest}{tail(result, errno, spell)}",
    ]


@given(
    st.lists(st.lists(CALLS, max_size=4), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
    st.sampled_from([0.0, 1700000000.0]),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_what_a_log_was_written_from_is_what_it_is_read_as(programs, random, epoch, spell):
    todo = [
        [(pid, call, text, n == 0) for call in calls for n, text in enumerate(halves(call, spell))]
        for pid, calls in enumerate(programs, 100)
    ]
    lines: list[str] = []
    expected: list[Event] = []
    begun: dict[int, int] = {}
    while any(todo):
        pid, call, text, first = random.choice([queue for queue in todo if queue]).pop(0)
        number = len(lines) + 1
        lines.append(f"{pid} {epoch + number / 8:.6f} {text}")
        if first:
            begun[pid] = number
        if call[3] is None or not first:
            start, (result, errno) = begun[pid], call[2]
            times = epoch + start / 8, epoch + number / 8
            expected.append(
                Event(start, pid, times[0], call[0], call[1], result, errno, Kind.CALL, number, times[1])
            )

    assert list(parse_lines(lines)) == expected
