"""How the command line speaks: two lines for an error, names with their near misses."""

import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches

import click


def say(fact: str, remedy: str) -> None:
    """The two lines of an error.  Line breaks inside would make them three."""
    lines = " ".join(fact.split("\n")).strip()
    # errors="replace": a name that is no text must not turn its own error into another one.
    text = f"hangdog: {lines}\n  try: {remedy}\n".encode(sys.stderr.encoding or "utf-8", "backslashreplace")
    sys.stderr.write(text.decode(sys.stderr.encoding or "utf-8"))


def unknown(
    kind: str, name: str, known: Iterable[str], command: Callable[[str], str], otherwise: str
) -> tuple[str, str]:
    """Fact and remedy for an unknown name; the nearest one is tried, else ``otherwise``."""
    names = list(known)
    near = get_close_matches(name.lower(), [each.lower() for each in names], n=1, cutoff=0.5)
    nearest = next((each for each in names if near and each.lower() == near[0]), None)
    there_are = f"there are {', '.join(names)}" if names else "there are none"
    meant = f", did you mean {nearest!r}?" if nearest else f": {there_are}"
    return f"there is no {kind} {name!r}{meant}", command(nearest) if nearest else otherwise


def usage_of(
    kind: str, name: str, known: Iterable[str], command: Callable[[str], str], path: str = "hangdog run"
) -> click.UsageError:
    """The same as an error of the words typed."""
    fact, remedy = unknown(kind, name, known, command, f"{path} --help")
    error = click.UsageError(fact)
    error.hint = remedy  # type: ignore[attr-defined]
    return error
