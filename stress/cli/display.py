"""A run while it goes on: one live block on a terminal, plain lines elsewhere.

Never starts a thread (`Live` without auto refresh): the front process forks.
"""

from types import TracebackType
from typing import Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stress.run.options import Progress, RunOptions

LINE_EVERY_S = 5.0  # where lines pile up instead of being overwritten


class Display:
    """Gets each look at the run; also a context manager, so that the terminal is restored."""

    def __init__(self, stream: TextIO, options: RunOptions) -> None:
        self.stream, self.options = stream, options
        self.console = Console(file=stream)
        self.live: Live | None = None
        self.next_line_s = 0.0
        self.notices = 0  # told so far: a new one has a line at once

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live = Live(console=self.console, auto_refresh=False, transient=True)
            self.live.start()
        self.console.print(f"running {headline(self.options)}", highlight=False, soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()

    def update(self, look: Progress) -> None:
        """Show the newest state."""
        if self.live is not None:
            drawn = [Text(chain, no_wrap=True, overflow="ellipsis") for chain in look.chains]
            self.live.update(Group(block(look), *drawn), refresh=True)
        elif look.elapsed_s >= self.next_line_s or look.notices > self.notices:
            self.next_line_s, self.notices = look.elapsed_s + LINE_EVERY_S, look.notices
            self.stream.write("\n".join([line(look), *(f"         {chain}" for chain in look.chains)]) + "\n")
            self.stream.flush()


def headline(options: RunOptions) -> str:
    """What runs, in one line."""
    kind = "processes" if options.mode == "process" else "threads"
    defect = f", defect {options.defect}" if options.defect else ""
    return f"{options.what}: {options.workers} worker {kind}, seed {options.seed}{defect}"


def line(look: Progress) -> str:
    """A look in one line."""
    left = f", {look.tasks_left:,} processes left" if look.tasks_left is not None else ""
    return (
        f"{look.elapsed_s:7.1f} s  epoch {look.epoch}  {look.steps:,} steps ({look.steps_per_s:,.0f}/s)  "
        f"{look.faults:,} faults  chain {look.longest_chain}  free {look.free_pages}/{look.pages}  "
        f"waiting {look.waiting}{left}{findings_text(look)}"
    )


def findings_text(look: Progress) -> str:
    """Only said when there is something."""
    told = f"  notices {look.notices}" if look.notices else ""
    return f"{told}  FINDINGS {look.findings}" if look.findings else told


def block(look: Progress) -> Table:
    """A look as a small table, overwritten in place."""
    table = Table.grid(padding=(0, 2))
    rows = [
        ("time", f"{look.elapsed_s:.1f} s", "epoch", str(look.epoch)),
        ("steps", f"{look.steps:,} ({look.steps_per_s:,.0f}/s)", "faults", f"{look.faults:,}"),
        ("free pages", f"{look.free_pages:,} of {look.pages:,}", "longest chain", str(look.longest_chain)),
        ("waiting threads", str(look.waiting), "findings", str(look.findings)),
    ]
    if look.notices:
        rows.append(("notices", str(look.notices), "", ""))
    if look.tasks_left is not None:
        rows.append(("processes left", f"{look.tasks_left:,}", "", ""))
    for left, value, right, other in rows:
        table.add_row(f"[dim]{left}[/dim]", value, f"[dim]{right}[/dim]", other)
    return table
