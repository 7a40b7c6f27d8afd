"""A defect replaces the part that is wrong; it does not repeat the rest of the function from vmcore.

What a repetition is, copies.py defines.  Where a step for the part alone would be unnatural in
vmcore, the file is in PERMITTED with its reason; there are at most LIMIT of them.
"""

import pytest

from tests.rules.copies import copies, functions_of_core
from tests.rules.test_architecture import ROOT, plant

LIMIT = 5
PERMITTED = {
    "h31_eof_race.py": (
        "the size is tested before the lock instead of under it, in a read and in a write; with both in one "
        "step the thread that is too late would wait for the lock before it is refused, which it never did"
    ),
}


def repeating(root):
    """File of stress/defects -> what it repeats, for those that do."""
    core = functions_of_core(root)
    files = sorted((root / "stress" / "defects").glob("*.py"))
    found = {path.name: [str(copy) for copy in copies(path.read_text(), core)] for path in files}
    return {name: lines for name, lines in found.items() if lines}


def test_a_defect_repeats_nothing_of_vmcore_or_says_why():
    found = repeating(ROOT)

    new = {name: lines for name, lines in found.items() if name not in PERMITTED}
    assert new == {}, "cut the wrong part out of the function of vmcore, as a step with a name"
    assert sorted(PERMITTED) == sorted(found), "a file that repeats nothing is not permitted to"


def test_the_exceptions_are_few_and_argued():
    assert len(PERMITTED) <= LIMIT
    assert [name for name, reason in PERMITTED.items() if len(reason.split()) < 8] == []


# --- the definition


CORE = '''
def step(vm, object, page):
    """Doc."""
    object.lock.acquire()
    count = object.count
    object.count = count + 1
    if count:
        page_wakeup(vm, page)
        object.lock.release()
        return True
    object.lock.release()
    object.waits = 0
    return False


def other(vm, object):
    first(vm)
    second(vm)
    for page in object_pages(vm, object):
        if page.wanted:
            continue
        third(vm, page)
'''
DEFECT = "def step(vm, object, page):\n{body}\n\ndefect = Defect(replacements={{'one.step': step}})\n"


def repeats(tmp_path, *body):
    text = DEFECT.format(body="\n".join(f"    {line}" for line in body))
    plant(tmp_path, {"vmcore/object/one.py": CORE, "stress/defects/h0.py": text})
    return [line.split(":")[0] for line in repeating(tmp_path).get("h0.py", [])]


def test_three_in_a_row_are_a_copy_whatever_comes_before_and_after(tmp_path):
    body = ["mine(vm)", "first(vm)", "second(vm)", "for page in object_pages(vm, object):", "    mine(page)"]

    assert repeats(tmp_path, *body) == ["step() repeats 3 statements in a row of one.other()"]


def test_most_of_the_replaced_step_is_a_copy_with_other_statements_between(tmp_path):
    body = ["count = object.count", "mine(vm)", "object.count = count + 1", "if count:", "    mine(vm)"]

    assert repeats(tmp_path, *body) == ["step() repeats 3 statements of its 5 (most) of one.step()"]


def test_most_of_a_function_that_it_does_not_replace_is_none(tmp_path):
    body = [
        "first(vm)",
        "mine(vm)",
        "second(vm)",
        "mine(vm)",
        "for page in object_pages(vm, object):",
        "    pass",
    ]

    assert repeats(tmp_path, *body) == []


@pytest.mark.parametrize(
    "body",
    [
        ["object.lock.acquire()", "mine(vm)", "object.lock.release()", "return True"],
        [
            "page_wakeup(vm, page)",
            "object.lock.release()",
            "return True",
        ],  # one statement between slight ones
        ["count = object.count", "object.count = count + 1", "mine(vm)"],  # two
        ["while mine(vm):", "    if page.wanted:", "        continue", "    third(vm, page)"],  # two
        ["number = object.count", "object.count = number + 1", "if number:", "    page_wakeup(vm, page)"],
        ["'''object.waits = 0'''", "# count = object.count", "mine(vm)"],
    ],
)
def test_locks_two_lines_and_other_names_are_no_copy(body, tmp_path):
    assert repeats(tmp_path, *body) == []


def test_the_layout_does_not_hide_a_copy(tmp_path):
    body = [
        "count = (",
        "    object.count  # taken",
        ")",
        "object.count = count + 1",
        "while mine(vm):",
        "    with mine(vm):",
        "        first( vm )",
        "        second(vm)",
        "        for page in object_pages(vm, object): pass",
    ]

    assert repeats(tmp_path, *body) == ["step() repeats 3 statements in a row of one.other()"]
