"""Write docs/cli.md from what ``--help`` prints, so that it cannot say anything else.

python ci/make_cli_docs.py            write it
python ci/make_cli_docs.py --check    exit 1 when it is stale
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cli.md"
WIDTH = 100
HEAD = """# The command line

Made from `--help` by `ci/make_cli_docs.py`; a test fails when it is stale.
"""


def helps(
    command: click.Command, words: str, parent: click.Context | None = None
) -> Iterator[tuple[str, str]]:
    """(command, help) of a command and all below it."""
    name = words.rsplit(" ", maxsplit=1)[-1]
    ctx = click.Context(command, info_name=name, parent=parent, **command.context_settings)
    ctx.terminal_width = ctx.max_content_width = WIDTH  # not that of the terminal here
    yield words, command.get_help(ctx)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            if below is not None:
                yield from helps(below, f"{words} {name}", ctx)


def page() -> str:
    """The whole file."""
    sys.path.insert(0, str(ROOT))  # works in a tree that is not installed
    from stress.cli.main import hangdog

    parts = [HEAD]
    for path, text in helps(hangdog, "hangdog"):
        body = "\n".join(line.rstrip() for line in text.splitlines())
        parts.append(f"## `{path}`\n\n```text\n{body}\n```\n")
    return "\n".join(parts)


def main() -> int:
    """Write, or compare."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(
        "hangdog: docs/cli.md does not say what --help says\n  try: python ci/make_cli_docs.py\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
