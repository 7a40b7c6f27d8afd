"""Whatever a page, a docstring or a comment refers to is there."""

from collections.abc import Callable, Iterator

import pytest

from tests.docs import references as r

RULES = [r.dead_links, r.dead_paths, r.dead_names, r.dead_sections]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_what_is_referred_to_is_there(rule: Callable[[], Iterator[str]]):
    assert list(rule()) == []
