"""A dump as one offline HTML page, with the wait graph as inline SVG."""

import math
from html import escape

from harness.watch.records import Dump
from harness.watch.render.text import render

_STYLE = (
    "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "pre{background:#f4f4f2;padding:1em;overflow-x:auto}svg{max-width:100%}h1{font-size:1.3em}"
    ".dead{fill:#fbdcd6}.node{fill:#e8eef7;stroke:#345}.edge{stroke:#a33;stroke-width:1.5;fill:none}"
    "@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}pre{background:#242424}"
    ".node{fill:#2c3c55}text{fill:#ddd}}"
)

_HEAD = (
    '<svg viewBox="0 0 840 430" role="img" aria-label="who waits for whom">'
    '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0L10 5L0 10z" fill="#a33"/></marker></defs>'
)


def render_html(dump: Dump) -> str:
    """The page as text."""
    title = escape(f"{dump.verdict}: {dump.scenario} seed {dump.seed}")
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{escape(dump.summary)}</p>"
        f"{graph(dump)}<pre>{escape(render(dump))}</pre></body></html>\n"
    )


def graph(dump: Dump) -> str:
    """The threads involved on a ring; an arrow leads to the thread that holds what is wanted."""
    seats = [seat for seat in dump.threads if seat.number in dump.involved]
    if not seats:
        return ""
    radius, middle = 150.0, (420.0, 210.0)
    place = {}
    for i, seat in enumerate(seats):
        angle = 2 * math.pi * i / len(seats) - math.pi / 2
        place[seat.number] = (
            middle[0] + 1.9 * radius * math.cos(angle),
            middle[1] + radius * math.sin(angle),
        )
    parts = [_HEAD]
    holders = {held.offset: seat.number for seat in seats for held in seat.held}
    for seat in seats:
        target = holders.get(seat.wait.offset) if seat.wait else None
        if target in place and target != seat.number:
            (x1, y1), (x2, y2) = place[seat.number], place[target]
            bend = f"M{x1:.0f} {y1:.0f}Q{middle[0]:.0f} {middle[1]:.0f} {x2:.0f} {y2:.0f}"
            parts.append(f'<path class="edge" d="{bend}" marker-end="url(#arrow)"/>')
    for seat in seats:
        x, y = place[seat.number]
        kind = "node dead" if seat.dead else "node"
        held = ", ".join(held.lock for held in seat.held[:3]) or "holds nothing"
        parts.append(
            f'<rect class="{kind}" x="{x - 110:.0f}" y="{y - 24:.0f}" width="220" height="48" rx="6"/>'
            f'<text x="{x:.0f}" y="{y - 4:.0f}" text-anchor="middle">{escape(seat.role)}</text>'
            f'<text x="{x:.0f}" y="{y + 15:.0f}" text-anchor="middle" font-size="12">{escape(held)}</text>'
        )
    return "".join([*parts, "</svg>"])
