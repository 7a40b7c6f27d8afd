"""Whatever a page, a docstring or a comment refers to is there."""

from collections.abc import Callable, Iterator

import pytest

from tests.docs import references as r

RULES = [r.dead_links, r.dead_paths, r.dead_names, r.dead_sections]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_what_is_referred_to_is_there(rule: Callable[[], Iterator[str]]):
    assert list(rule()) == []


PLANTED = [
    (r.dead_paths, "as docs/nothing.md says"),
    (r.dead_paths, "each of stress/defects/x9*.py"),
    (r.dead_paths, "the lists of gone_away.py"),
    (r.dead_names, "a ``harness.run.Nothing`` of its own: harness.run.Nothing"),
    (r.dead_names, "`vmcore/fault/fault.py`, `no_such_step`"),
    (r.dead_names, "see ``not_there``"),
    (r.dead_names, "(see no_such_function)"),
    (r.dead_sections, "docs/reference, section 4.99"),
    (r.dead_sections, "[the page](docs/design.md), section 77"),
    (r.dead_sections, "(docs/postmortems.md, 999)"),
    (r.dead_sections, "as Q99 asks"),
]


@pytest.mark.parametrize(("rule", "text"), PLANTED, ids=[text for _, text in PLANTED])
def test_what_is_not_there_is_named(
    rule: Callable[[], Iterator[str]], text: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(r, "prose", lambda: (("vmcore/planted.py", 7, text),))
    monkeypatch.setattr(r, "saved", lambda _: frozenset[str]())

    found = list(rule())

    assert len(found) == 1
    assert found[0].startswith("vmcore/planted.py:7: ")


def test_what_is_there_is_not(monkeypatch: pytest.MonkeyPatch):
    """One sentence with one of each kind."""
    text = (
        "docs/reference, section 4.3; docs/postmortems.md, 41; A7 and Q4; vmcore/fault*.py; fault.py; "
        "see ``vm_fault``; harness.run.session.Session; `vmcore/fault/fault.py`, `vm_fault`"
    )
    monkeypatch.setattr(r, "prose", lambda: (("vmcore/planted.py", 7, text),))
    monkeypatch.setattr(r, "saved", lambda _: frozenset[str]())

    assert [found for rule in RULES[1:] for found in rule()] == []
