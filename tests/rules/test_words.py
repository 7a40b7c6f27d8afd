"""Words that were thrown out stay out: metaphors of theatre, family and the senses, and persons for threads.

A thread or a process is "it"; a contract names the role ("another thread", "the caller").
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.test_architecture import ROOT, plant, repository_files, shown, text_of

HERE = "tests/rules/test_words.py"
READ_AS_THEY_ARE = (HERE, "docs/reference/", "LICENSE", "stress/trace/data/", "tests/data/")
PERSONS = r"(?<![A-Za-z])(?:he|him|his|himself|somebody|nobody|everybody|anybody|whoever)(?![A-Za-z])"
# The brackets keep a search of the tree for the words themselves empty.
METAPHORS = r"nurser(?:y|ies)|[c]urtain|[c]radle|[s]tagehand|[m]ourn|[d]eafen|[g]lutton"
REFUSED = re.compile(f"{PERSONS}|{METAPHORS}", re.IGNORECASE)


def words_are_those_of_the_field(root: Path) -> Iterator[str]:
    for path in repository_files(root):
        name = shown(root, path)
        if not name.startswith(READ_AS_THEY_ARE):
            for number, line in enumerate(text_of(path).splitlines(), 1):
                if found := REFUSED.search(line):
                    yield f"{name}:{number}: {found.group()!r}; name the role: another thread, the caller, it"


def test_this_tree_keeps_its_words():
    assert list(words_are_those_of_the_field(ROOT)) == []


@pytest.mark.parametrize(
    "line",
    [
        "# the thread and his lock",
        "Nobody waits.",
        "def the_" + "curt" + "ain_falls(): ...",
        "# he sleeps",
        "waits_for_his_turn()",
    ],
)
def test_a_planted_word_is_named(line, tmp_path):
    plant(tmp_path, {"harness/one.py": f"x = 1\n{line}\n", "docs/reference/log.md": line})

    assert [text.split(": ")[0] for text in words_are_those_of_the_field(tmp_path)] == ["harness/one.py:2"]


def test_words_that_only_look_alike_pass(tmp_path):
    plant(tmp_path, {"harness/one.py": "# the cache, this, history, heap: shells\n"})

    assert list(words_are_those_of_the_field(tmp_path)) == []
