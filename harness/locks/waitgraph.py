"""Who waits for whom: pure data in, cycles out.

A node is the number of a seat.  An edge is *hard* (the other holds what is wanted) or
*soft* (the other is ahead in a queue).  Guarantees: every group of nodes that wait for
each other over hard edges gives one shortest cycle; a group that closes only with the
help of soft edges gives one too, and says so.  The result does not depend on the order
of the edges.  No recursion: a chain of waiters may be long.
"""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Edge:
    """``waiter`` cannot go on before ``holder`` does; ``what`` is what it waits for."""

    waiter: int
    holder: int
    hard: bool = True
    what: str = ""


@dataclass(frozen=True)
class Cycle:
    """A closed round of edges in reading order: each edge's holder is the next one's waiter."""

    edges: tuple[Edge, ...]

    @property
    def nodes(self) -> tuple[int, ...]:
        """The waiters, in the order of the edges."""
        return tuple(edge.waiter for edge in self.edges)

    @property
    def hard(self) -> bool:
        """No edge is only a place in a queue."""
        return all(edge.hard for edge in self.edges)


def find_cycles(edges: Iterable[Edge]) -> list[Cycle]:
    """One shortest cycle per group of nodes that wait for each other, each begun at its first node."""
    every = sorted(edges, key=_edge_order)
    hard = [edge for edge in every if edge.hard]
    found = [_shortest(group, hard) for group in components(hard)]
    seen = {node for cycle in found for node in cycle.nodes}
    found += [_shortest(group, every) for group in components(every) if not seen & set(group)]
    return sorted(found, key=lambda cycle: cycle.edges[0].waiter)


def components(edges: Iterable[Edge]) -> list[list[int]]:
    """Groups of nodes each of which waits for every other (Tarjan): two or more, or one for itself."""
    ahead: defaultdict[int, list[int]] = defaultdict(list)
    for edge in edges:
        ahead[edge.waiter].append(edge.holder)
    search = _Search(ahead)
    for node in sorted(ahead):
        search.visit(node)
    return [sorted(group) for group in search.groups if len(group) > 1 or group[0] in ahead[group[0]]]


class _Search:
    """Tarjan's algorithm with a stack of its own instead of recursion."""

    def __init__(self, ahead: Mapping[int, list[int]]) -> None:
        self.ahead = ahead
        self.number: dict[int, int] = {}
        self.low: dict[int, int] = {}
        self.path: list[int] = []
        self.on_path: set[int] = set()
        self.groups: list[list[int]] = []

    def visit(self, root: int) -> None:
        if root in self.number:
            return
        self._open(root)
        todo = [(root, iter(self.ahead.get(root, ())))]
        while todo:
            node, rest = todo[-1]
            for other in rest:
                if other not in self.number:
                    self._open(other)
                    todo.append((other, iter(self.ahead.get(other, ()))))
                    break
                if other in self.on_path:
                    self.low[node] = min(self.low[node], self.number[other])
            else:
                todo.pop()
                if todo:
                    above = todo[-1][0]
                    self.low[above] = min(self.low[above], self.low[node])
                self._close(node)

    def _open(self, node: int) -> None:
        self.number[node] = self.low[node] = len(self.number)
        self.path.append(node)
        self.on_path.add(node)

    def _close(self, node: int) -> None:
        if self.low[node] != self.number[node]:
            return
        group: list[int] = []
        while not group or group[-1] != node:
            group.append(self.path.pop())
        self.on_path.difference_update(group)
        self.groups.append(group)


def _shortest(group: list[int], edges: list[Edge]) -> Cycle:
    """A shortest cycle inside a group, begun at its first node; ties go to the earlier node."""
    inside = set(group)
    leaving: defaultdict[int, list[Edge]] = defaultdict(list)
    for edge in edges:
        if edge.waiter in inside and edge.holder in inside:
            leaving[edge.waiter].append(edge)
    rounds = [found for node in group if (found := _round(node, leaving))]
    # The first of the shortest begins at its own first node: had the cycle an earlier one, the
    # round from there would be as short and come before.
    best = min(rounds, key=len)
    return Cycle(tuple(best))


def _round(start: int, leaving: Mapping[int, list[Edge]]) -> list[Edge]:
    """The shortest way from a node back to itself (breadth first)."""
    came: dict[int, Edge] = {}
    todo = deque([start])
    while todo:
        node = todo.popleft()
        for edge in leaving.get(node, ()):
            if edge.holder == start:
                way = [edge]
                while way[-1].waiter != start:
                    way.append(came[way[-1].waiter])
                return way[::-1]
            if edge.holder not in came:
                came[edge.holder] = edge
                todo.append(edge.holder)
    return []


def _edge_order(edge: Edge) -> tuple[int, int, bool, str]:
    return edge.waiter, edge.holder, not edge.hard, edge.what
