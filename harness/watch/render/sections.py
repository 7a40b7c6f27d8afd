"""What a program adds to a dump: sections about its own records, and what its points and words mean.

A renderer gets (arena, dump) and returns lines.  One that fails is noted; the dump is
written all the same.
"""

from collections.abc import Callable
from typing import Any

from harness.shm.arena import Arena

Renderer = Callable[[Arena, Any], list[str]]
_RENDERERS: dict[str, Renderer] = {}
_ARGUMENTS: dict[str, Callable[[int], str]] = {}
_WORDS: dict[str, Callable[[int], str]] = {}


def register(name: str, renderer: Renderer) -> None:
    """Add a section called ``name``; the same name replaces the renderer."""
    _RENDERERS[name] = renderer


def unregister(name: str) -> None:
    """Remove a section."""
    _RENDERERS.pop(name, None)


def sections(arena: Arena, dump: Any) -> tuple[dict[str, list[str]], list[str]]:
    """(sections, notes on renderers that failed)."""
    found: dict[str, list[str]] = {}
    notes = []
    for name, renderer in _RENDERERS.items():
        try:
            found[name] = renderer(arena, dump)
        except Exception as error:  # noqa: BLE001 - a wedged system may show anything; the rest of the dump matters more
            notes.append(f"section {name!r} could not be rendered: {type(error).__name__}: {error}")
    return found, notes


def register_argument(point: str, meaning: Callable[[int], str]) -> None:
    """From now on dumps tell the argument of this named point in these words."""
    _ARGUMENTS[point] = meaning


def unregister_argument(point: str) -> None:
    """The bare number again."""
    _ARGUMENTS.pop(point, None)


def argument(point: str, value: int) -> str:
    """The argument of a point for reading; nothing for none."""
    try:
        return _ARGUMENTS[point](value)
    except Exception:  # noqa: BLE001 - not registered, or a word that was never packed: the number tells as much
        return str(value or "")


def register_word(word: str, meaning: Callable[[int], str]) -> None:
    """From now on the bits of such a word ("table.field") are told in these words."""
    _WORDS[word] = meaning


def unregister_word(word: str) -> None:
    """The bare number again."""
    _WORDS.pop(word, None)


def bits(name: str, value: int) -> str:
    """The bits of a word called "table.field" for reading."""
    try:
        return _WORDS[name](value)
    except Exception:  # noqa: BLE001 - not registered, or it knows no such value: the number tells as much
        return f"{value:#x}"
