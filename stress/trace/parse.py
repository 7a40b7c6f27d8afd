"""strace logs -> events: one frozen record per system call, exit, kill or signal.

Reads what ``strace -f -y -ttt -o FILE`` writes (also its ``[pid N]`` form), plain or gzip by
content, with absolute or relative seconds.  Guarantees:

* Events come in order of *completion*, so the events of one pid are in program order.
  ``line``/``time`` are where a call began, ``end_line``/``end_time`` where it returned.
* Hence a fork-like call that was split by ``<unfinished ...>`` comes *after* the first events of
  its child.  The child cannot have begun before ``line``; ``stress.trace.plan`` uses that.
* A call that never returned (its pid died, or the log ends) has ``result`` None, ``end_time`` None.

Refuses damage with TraceError naming the line; it never skips a line that it does not understand.
"""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from stress.trace.errors import TraceError


class Kind(IntEnum):
    """What a line reports."""

    CALL = 0  # a system call: args, result, errno
    EXITED = 1  # +++ exited with STATUS +++: result is the status
    KILLED = 2  # +++ killed by SIG +++: name is the signal
    SIGNAL = 3  # --- SIG {...} ---: name is the signal, args[0] the details
    SUPERSEDED = 4  # +++ superseded by execve in pid N +++: result is N, whose call goes on under this pid


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one pid.  Times are seconds as logged; lines count from 1."""

    line: int
    pid: int
    time: float
    name: str
    args: tuple[str, ...]
    result: int | None  # None for '?': never returned, or will be restarted
    errno: str | None  # 'ENOENT', or None when the call did not fail
    kind: Kind
    end_line: int
    end_time: float | None


# A line in the common shape: no quotes, no brackets, descriptors without commas.  Three lines of
# four are like this, and one match does the whole work for them.
PLAIN = re.compile(
    r"(\d+) +(\d+(?:\.\d+)?) (\w+)"
    r"\(((?:[^\"'()\[\]{}<>*]|\d<[^<>,(){}\[\]\"*]*>)*)\) += (0x[0-9a-f]+|-?\d+|\?)"
)
HEAD = re.compile(r"(?:\[pid +(\d+)\]|(\d+)) +(\d+(?:\.\d+)?) (.*)")
CALL = re.compile(r"(\w+)\(")
RESUMED = re.compile(r"<\.\.\. (\w+) resumed> ?(.*)")
UNFINISHED = re.compile(r"(\w+)\((.*?) ?<(?:unfinished|detached) \.\.\.>")
EXITED = re.compile(r"\+\+\+ exited with (\d+) \+\+\+")
KILLED = re.compile(r"\+\+\+ killed by (SIG\w+)(?: \(core dumped\))? \+\+\+")
SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (\d+) \+\+\+")
SIGNAL = re.compile(r"--- (?:stopped by )?(SIG\w+)(?: (.*))? ---")
RESULT = re.compile(
    r" *= (0x[0-9a-f]+|-?\d+|\?)(?:<.*>)?(?: /\*.*\*/)?"
    r"(?: ([A-Z][A-Z0-9_?]*) \(.*\)| \(.*\))?(?: <unavailable>)?(?: <\d+\.\d+>)?"
)
NOTICE = re.compile(r"strace: .*")  # "strace: Process 12 attached": strace talking about itself
# What matters to the structure of an argument list.  A descriptor's <path> ends at a '>' that is
# followed by the end of an argument, because sockets print '->' inside; 1<<12 is no descriptor.
SPECIAL = re.compile(
    r'"(?:[^"\\]|\\.)*"|/\*.*?\*/|(?<=\w)<(?!<)[^>]*(?:>(?![,)\]}( ]|$)[^>]*)*>|["(\[{)\]},]'
)
CLOSES = {")": "(", "]": "[", "}": "{"}
JUNK = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\udc80-\udcff]")  # strace escapes all of these
WHOLE = "an unfinished call of this pid"


def parse_trace(path: str | Path) -> list[Event]:
    """Every event of the log at path.  Errors: TraceError for anything unreadable or damaged."""
    name = str(path)
    text = _text(Path(path), name)
    lines = text.split("\n")
    if lines.pop():
        raise TraceError(name, "the log is cut off in the middle of this line", len(lines) + 1, _last(text))
    events = list(parse_lines(lines, name))
    if not events:
        raise TraceError(name, "no event in it")
    return events


def _last(text: str) -> str:
    return text[text.rfind("\n") + 1 :]


def _text(path: Path, name: str) -> str:
    """The log as text: unpacked if its first bytes say gzip, refused if it holds binary."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TraceError(name, f"cannot be read: {error.strerror}") from error
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, OSError, zlib.error) as error:
            raise TraceError(name, f"damaged gzip data: {error}") from error
    if not data:
        raise TraceError(name, "the file is empty")
    text = data.decode("utf-8", "surrogateescape")
    junk = JUNK.search(text)
    if junk:
        number = text.count("\n", 0, junk.start()) + 1
        start = text.rfind("\n", 0, junk.start()) + 1
        raise TraceError(name, "binary data, not the text of strace", number, text[start : start + 80])
    return text


def parse_lines(lines: Iterable[str], path: str = "-") -> Iterator[Event]:
    """Events of the lines (without line ends), in order of completion.  ``path`` is for errors."""
    reader = _Reader(path)
    plain = PLAIN.fullmatch
    for number, line in enumerate(lines, 1):
        found = plain(line)
        if found is None:
            yield from reader.line(number, line)
            continue
        pid, time, name, args, result = found.groups()
        if pid in reader.pending:
            raise reader.error(number, line, f"{WHOLE} began in line {reader.pending[pid].line}")
        when = float(time)
        split = tuple(args.split(", ")) if args else ()
        yield Event(number, int(pid), when, name, split, _number(result), None, Kind.CALL, number, when)
    yield from reader.rest()


def _number(text: str) -> int | None:
    if text == "?":
        return None
    if text.startswith("0x"):
        return int(text, 16)
    return int(text, 8) if len(text) > 1 and text[0] == "0" else int(text)  # umask prints octal


def split_args(text: str, at: int = 0) -> tuple[tuple[str, ...], int]:
    """Arguments from ``at`` to the parenthesis that closes the call, and the index behind it.

    Commas inside quotes, brackets, comments and descriptor paths do not split.  The index is -1 if
    the text ends before the call is closed.  Errors: ValueError for brackets or quotes that do not match.
    """
    args: list[str] = []
    stack: list[str] = []
    start = at
    for found in SPECIAL.finditer(text, at):
        token = found.group()
        if token == "," and not stack:
            args.append(text[start : found.start()].strip())
            start = found.end()
        elif token in ("(", "[", "{"):
            stack.append(token)
        elif token in CLOSES:
            if stack:
                if stack.pop() != CLOSES[token]:
                    raise ValueError(f"{token!r} closes another kind of bracket")
                continue
            if token != ")":
                raise ValueError(f"{token!r} closes nothing")
            return _closed(args, text[start : found.start()].strip()), found.end()
        elif token == '"':
            raise ValueError("a quoted string has no end")
    return _closed(args, text[start:].strip()), -1


def _closed(args: list[str], last: str) -> tuple[str, ...]:
    if last:  # "wait4(-1, <unfinished": nothing behind the last comma is not an argument
        args.append(last)
    return tuple(args)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A call that has begun: its text up to the cut."""

    line: int
    time: float
    name: str
    args: str


class _Reader:
    """The lines that are not plain, and the calls that are under way (by pid as text)."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.pending: dict[str, _Pending] = {}

    def error(self, number: int, line: str, why: str) -> TraceError:
        return TraceError(self.path, why, number, line)

    def line(self, number: int, line: str) -> Iterator[Event]:
        """Events that this line completes: none, one, or two (a call cut short by an exit)."""
        head = HEAD.fullmatch(line)
        if head is None:
            if NOTICE.fullmatch(line):
                return
            raise self.error(number, line, "expected PID SECONDS CALL(...) as strace -f -y -ttt -o writes it")
        pid, time, body = head[1] or head[2], float(head[3]), head[4]
        if body.startswith("+++"):
            yield from self._end(number, pid, time, body, line)
        elif body.startswith("---"):
            yield self._signal(number, pid, time, body, line)
        elif body.startswith("<..."):
            yield self._resumed(number, pid, time, body, line)
        elif pid in self.pending:
            raise self.error(number, line, f"{WHOLE} began in line {self.pending[pid].line}")
        elif body.endswith(" ...>"):
            self._unfinished(number, pid, time, body, line)
        else:
            start = _Pending(number, time, "", "")
            yield self._call(number, pid, start, time, body.replace(" <unfinished ...>)", ")"), line)

    def _unfinished(self, number: int, pid: str, time: float, body: str, line: str) -> None:
        cut = UNFINISHED.fullmatch(body)
        if cut is None:
            raise self.error(number, line, "not a call that strace left unfinished")
        self.pending[pid] = _Pending(number, time, cut[1], cut[2])

    def _resumed(self, number: int, pid: str, time: float, body: str, line: str) -> Event:
        found = RESUMED.fullmatch(body)
        if found is None:
            raise self.error(number, line, "not a call that strace resumed")
        start = self.pending.pop(pid, None)
        if start is None:
            raise self.error(number, line, f"{found[1]} resumed, but pid {pid} has no unfinished call")
        if start.name != found[1]:
            raise self.error(number, line, f"{found[1]} resumed, but line {start.line} began {start.name}")
        # strace writes a blank before <unfinished that is not part of the arguments; UNFINISHED drops it.
        joined = f"{start.name}({start.args}{found[2].replace(' <unfinished ...>)', ')')}"
        return self._call(number, pid, start, time, joined, line)

    def _call(self, number: int, pid: str, start: _Pending, time: float, body: str, line: str) -> Event:
        """The event for a complete call; body is ``name(args) = result``, joined if it was split."""
        name = CALL.match(body)
        if name is None:
            raise self.error(number, line, "expected CALL(...) = RESULT")
        try:
            args, end = split_args(body, name.end())
        except ValueError as error:
            raise self.error(number, line, str(error)) from error
        if end < 0:
            raise self.error(number, line, f"the arguments of {name[1]} have no end")
        result = RESULT.fullmatch(body, end)
        if result is None:
            raise self.error(number, line, f"no result behind {name[1]}(...)")
        value, errno = _number(result[1]), result[2]
        return Event(start.line, int(pid), start.time, name[1], args, value, errno, Kind.CALL, number, time)

    def _signal(self, number: int, pid: str, time: float, body: str, line: str) -> Event:
        found = SIGNAL.fullmatch(body)
        if found is None:
            raise self.error(number, line, "not a signal as strace writes it")
        args = (found[2],) if found[2] else ()
        return Event(number, int(pid), time, found[1], args, None, None, Kind.SIGNAL, number, time)

    def _end(self, number: int, pid: str, time: float, body: str, line: str) -> Iterator[Event]:
        """The end of a pid; first the call that it was in, which never returned."""
        yield from self._abandon(pid, number)
        result: int | None = None
        if exited := EXITED.fullmatch(body):
            name, result, kind = "exited", int(exited[1]), Kind.EXITED
        elif killed := KILLED.fullmatch(body):
            name, kind = killed[1], Kind.KILLED
        elif other := SUPERSEDED.fullmatch(body):
            name, result, kind = "superseded", int(other[1]), Kind.SUPERSEDED
            # The thread that called execve returns under its leader's pid.
            if other[1] in self.pending:
                self.pending[pid] = self.pending.pop(other[1])
        else:
            raise self.error(number, line, "not an end of a process as strace writes it")
        yield Event(number, int(pid), time, name, (), result, None, kind, number, time)

    def _abandon(self, pid: str, number: int) -> Iterator[Event]:
        start = self.pending.pop(pid, None)
        if start is not None:
            try:
                args, _ = split_args(start.args)
            except ValueError as error:
                raise self.error(start.line, f"{start.name}({start.args}", str(error)) from error
            when = start.time
            yield Event(start.line, int(pid), when, start.name, args, None, None, Kind.CALL, number, None)

    def rest(self) -> Iterator[Event]:
        """Calls that were still under way when the log ended: they never returned."""
        for pid, start in list(self.pending.items()):
            yield from self._abandon(pid, start.line)
