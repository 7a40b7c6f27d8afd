"""Generate deliberate errors from Python source: one changed statement or condition each.

    errors(path, source)    every error of one file, in a fixed order: name, and the text of old and new

A name is ``file:function:kind:n``; n counts the errors of that kind in that function, so a name stays
what it is while the function does.  The kinds are those of locked code:

    drop-acquire drop-release     the statement is gone
    late-acquire early-release    it changes places with its neighbour
    early-read                    a value is read before the lock is taken, or before a sleep, not after
    once                          a loop around a test is left after one turn: no look again
    no-test                       a test is gone from a condition; or a look at the state never finds it
    not-flag                      it is the other way round
    drop-ref drop-wake wake-one drop-sleep drop-store drop-call
    drop-continue                 a turn that should begin again goes on
    off-by-one                    < for <=, > for >=, and back; +1 and -1 forgotten
    swap-stores                   two stores change places
"""

import ast
from collections import Counter
from collections.abc import Iterator

LOCKING = {"acquire", "read", "write", "try_acquire"}
LOSING = {"release"}
WAKING = {"wakeup", "page_wakeup", "wake_memory_waiters", "wake_paging_waiters", "tell_paging_waiters"}
SLEEPING = {
    "sleep", "thread_block", "VM_WAIT", "PAGE_ASSERT_WAIT", "wait_for_owner", "vm_object_paging_sleep",
    "vm_object_paging_wait", "wait_for_wirings", "wait_for_paging", "wait_for_pager", "wait_for_memory",
    "wait_for_copy_page", "wait_for_busy_page", "await_wakeup", "block_until",
}  # fmt: skip
REFERRING = {
    "vm_object_reference", "vm_object_deallocate", "vm_object_paging_begin", "vm_object_paging_end",
    "vm_map_reference", "vm_map_deallocate", "claim", "unclaim",
}  # fmt: skip
QUIET = {"point", "window", "failure", "append", "begin", "end"}  # for the watcher, the page trace, the noise
PASSED_ON = ("vm_page_", "pmap_", "page_", "FREE_", "RELEASE_", "drain_", "unlink", "link", "uncache", "free")
COUNTS = {"ref_count", "paging_in_progress", "vm_refcnt", "wire_count", "v_usecount", "wired_count"}
OTHER = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}

Edit = tuple[int, int, str]  # offsets in the source, and what is there instead
Found = tuple[str, Edit]  # kind


def errors(path: str, source: str) -> Iterator[tuple[str, str, str]]:
    """(name, old, new) of each error; ``old`` occurs once in the source, and new compiles."""
    for function in functions(ast.parse(source)):
        counted: Counter[str] = Counter()
        for kind, (start, end, text) in File(source).found(function):
            counted[kind] += 1
            old, new = unique(source, start, end, text)
            if compiles(source[:start] + text + source[end:]):
                yield f"{path}:{function.name}:{kind}:{counted[kind]}", old, new


def functions(tree: ast.Module) -> list[ast.FunctionDef]:
    """All of them, methods too; one inside another belongs to the outer one."""
    found = []
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        found += [one for one in inner if isinstance(one, ast.FunctionDef)]
    return found


def unique(source: str, start: int, end: int, text: str) -> tuple[str, str]:
    """The edit with so many whole lines around it that its old text occurs once."""
    first, last = source.rfind("\n", 0, start) + 1, line_end(source, end)
    while source.count(source[first:last]) > 1:
        first, last = source.rfind("\n", 0, first - 1) + 1 if first else 0, line_end(source, last)
    return source[first:last], source[first:start] + text + source[end:last]


def line_end(source: str, at: int) -> int:
    """Just behind the next line feed that does not come before ``at``."""
    found = source.find("\n", at)
    return len(source) if found < 0 else found + 1


def compiles(source: str) -> bool:
    """Python would take it."""
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def called(node: ast.AST) -> str:
    """The name of what a statement or expression calls; "" when it is no call."""
    if isinstance(node, ast.Expr):
        node = node.value
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def is_store(node: ast.AST) -> bool:
    """Does this statement write a field or an element?"""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    if not isinstance(node, ast.Assign | ast.AugAssign):
        return False
    return any(isinstance(one, ast.Attribute | ast.Subscript) for one in targets)


def reads_field(node: ast.AST) -> bool:
    """Is it ``name = something with a field``?"""
    if not isinstance(node, ast.Assign) or not all(
        isinstance(one, ast.Name | ast.Tuple) for one in node.targets
    ):
        return False
    return any(isinstance(one, ast.Attribute) for one in ast.walk(node.value))


def tests_flag(node: ast.AST) -> bool:
    """Is it ``x & FLAG`` or ``not x & FLAG``?"""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        node = node.operand
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd)


def reads_a_field(test: ast.AST) -> bool:
    """Does a condition look at a field?"""
    return any(isinstance(one, ast.Attribute) for one in ast.walk(test))


class File:
    """The errors of one function, with the source for their offsets."""

    def __init__(self, source: str) -> None:
        self.source, self.starts = source, [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Offsets of a node; the project's source is ASCII."""
        first, last = self.starts[node.lineno - 1], self.starts[node.end_lineno - 1]  # type: ignore[attr-defined]
        return first + node.col_offset, last + node.end_col_offset  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> str:
        """The source of a node."""
        start, end = self.span(node)
        return self.source[start:end]

    def instead(self, node: ast.AST, text: str) -> Edit:
        """The node becomes this text."""
        return (*self.span(node), text)

    def swapped(self, one: ast.AST, two: ast.AST) -> Edit:
        """Two neighbours change places."""
        between = self.source[self.span(one)[1] : self.span(two)[0]]
        return self.span(one)[0], self.span(two)[1], self.text(two) + between + self.text(one)

    def found(self, function: ast.FunctionDef) -> Iterator[Found]:
        """In source order of the statements."""
        for node in ast.walk(function):
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list):
                    yield from self.in_block(block)
            yield from self.in_condition(node)

    def in_block(self, block: list[ast.stmt]) -> Iterator[Found]:
        """What can be dropped, and which neighbours can change places."""
        for this, following in zip(block, [*block, None][1:], strict=True):
            kind = self.kind(this)
            if kind:
                yield kind, self.instead(this, "pass")
            if called(this) == "wakeup":
                call = self.text(this)
                yield "wake-one", self.instead(this, call.replace("wakeup()", "wakeup_one()"))
            if following is not None:
                yield from self.neighbours(this, following)

    def kind(self, node: ast.stmt) -> str:
        """Why this statement is worth dropping; "": it is not."""
        name = called(node)
        if name and name not in QUIET:
            for names, kind in (
                (LOCKING, "drop-acquire"), (LOSING, "drop-release"), (WAKING, "drop-wake"),
                (SLEEPING, "drop-sleep"), (REFERRING, "drop-ref"),
            ):  # fmt: skip
                if name in names:
                    return kind
            return "drop-call" if name.startswith(PASSED_ON) else ""
        if isinstance(node, ast.Continue):
            return "drop-continue"
        if not is_store(node) or "stats." in self.text(node):
            return ""
        target = getattr(node, "target", None)
        counts = isinstance(target, ast.Attribute) and target.attr in COUNTS
        return "drop-ref" if counts else "drop-store"

    def neighbours(self, this: ast.stmt, following: ast.stmt) -> Iterator[Found]:
        """Two statements that are wrong the other way round."""
        first, second = called(this), called(following)
        simple = isinstance(this, ast.Expr | ast.Assign | ast.AugAssign)
        other = isinstance(following, ast.Expr | ast.Assign | ast.AugAssign)
        if not simple or not other or {first, second} & QUIET:
            return
        if first in LOCKING | SLEEPING and reads_field(following):
            yield "early-read", self.swapped(this, following)
        elif first in LOCKING and second not in LOSING:
            yield "late-acquire", self.swapped(this, following)
        elif second in LOSING and (is_store(this) or first or reads_field(this)):
            yield "early-release", self.swapped(this, following)
        elif (
            is_store(this) and is_store(following) and "stats." not in self.text(this) + self.text(following)
        ):
            yield "swap-stores", self.swapped(this, following)

    def in_condition(self, node: ast.AST) -> Iterator[Found]:
        """Loops, tests, comparisons and small constants."""
        if isinstance(node, ast.While) and any(called(one) in SLEEPING for one in ast.walk(node)):
            start = self.span(node)[0]
            if not isinstance(node.test, ast.Constant):
                yield "once", (start, start + len("while"), "if")
        if isinstance(node, ast.BoolOp):
            for part in node.values:
                neutral = "True" if isinstance(node.op, ast.And) else "False"
                yield "no-test", self.instead(part, neutral)
        if isinstance(node, ast.If | ast.While) and tests_flag(node.test):
            yield "not-flag", self.instead(node.test, f"not ({self.text(node.test)})")
        if isinstance(node, ast.If) and not isinstance(node.test, ast.BoolOp) and reads_a_field(node.test):
            yield "no-test", self.instead(node.test, "False")
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in OTHER:
            left, right = self.text(node.left), self.text(node.comparators[0])
            yield "off-by-one", self.instead(node, f"{left} {OTHER[type(node.ops[0])]} {right}")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
            one = node.right
            if isinstance(one, ast.Constant) and one.value == 1:
                yield "off-by-one", self.instead(node, f"({self.text(node.left)})")
