"""``hangdog show``: a dump again, from its file alone."""

from pathlib import Path

import click
import msgspec

from harness.errors import BadInput
from harness.watch import dump as dumps
from harness.watch.records import Dump
from harness.watch.render.html import render_html
from harness.watch.render.text import render


@click.command()
@click.argument("dump", type=click.Path(path_type=Path))
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="OUT", help="Write a page with the graph to OUT."
)
@click.option("--json", "as_json", is_flag=True, help="Print the dump as one JSON object.")
def show(dump: Path, html: Path | None, as_json: bool) -> None:
    """Render DUMP, the file that a finding names: threads, locks, who waits for whom, how to reproduce."""
    found = dumps.read(dump)
    if html is not None:
        write_page(html, found, dump)
    if as_json:
        click.echo(as_text(found))
    elif html is None:
        click.echo(render(found), nl=False)
    else:
        click.echo(f"wrote {html}")


def as_text(dump: Dump) -> str:
    """The dump as JSON on one line, checked on its way through."""
    return msgspec.json.encode(dump).decode()


def write_page(out: Path, dump: Dump, source: Path) -> None:
    """BadInput when the page cannot be written."""
    try:
        out.write_text(render_html(dump), encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"cannot write {str(out)!r}: {error.strerror}", f"hangdog show {source} --html page.html"
        ) from None
