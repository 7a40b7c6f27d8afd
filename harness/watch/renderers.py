"""Sections that a program adds to a dump: its own words for its own records.

A renderer gets (arena, dump) and returns lines.  One that fails is noted; the dump is
written all the same.
"""

from collections.abc import Callable
from typing import Any

from harness.shm.arena import Arena

Renderer = Callable[[Arena, Any], list[str]]
_RENDERERS: dict[str, Renderer] = {}


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
