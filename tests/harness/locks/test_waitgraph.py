import networkx as nx
from hypothesis import given
from hypothesis import strategies as st

from harness.locks.waitgraph import Cycle, Edge, components, find_cycles

NODES = st.integers(0, 7)
EDGES = st.lists(st.builds(Edge, NODES, NODES, st.booleans(), st.sampled_from(["a", "b"])), max_size=24)


def graph(edges):
    return nx.DiGraph([(edge.waiter, edge.holder) for edge in edges])


def closed(cycle):
    around = cycle.edges[1:] + cycle.edges[:1]
    return all(one.holder == after.waiter for one, after in zip(cycle.edges, around, strict=True))


def girth(edges, group):
    inside = graph(edges).subgraph(group)
    return min(len(cycle) for cycle in nx.simple_cycles(inside))


@given(EDGES)
def test_components_are_those_of_networkx(edges):
    oracle = graph(edges)
    expected = {
        frozenset(group)
        for group in nx.strongly_connected_components(oracle)
        if len(group) > 1 or oracle.has_edge(*(list(group) * 2))
    }

    found = components(edges)

    assert {frozenset(group) for group in found} == expected
    assert len(found) == len(expected)


@given(EDGES)
def test_every_group_gives_one_shortest_cycle_and_hard_ones_come_first(edges):
    hard = [edge for edge in edges if edge.hard]

    cycles = find_cycles(edges)

    for cycle in cycles:
        assert closed(cycle)
        assert set(cycle.edges) <= set(edges)
        assert len(set(cycle.nodes)) == len(cycle.nodes)
        assert cycle.nodes[0] == min(cycle.nodes, key=hash)  # small numbers are their own hashes
    assert (not cycles) == nx.is_directed_acyclic_graph(graph(edges))
    in_hard = [cycle for cycle in cycles if cycle.hard]
    assert len(in_hard) == len(components(hard))
    for group in components(hard):
        (cycle,) = [cycle for cycle in in_hard if set(cycle.nodes) <= set(group)]
        assert len(cycle.edges) == girth(hard, group)
    found = {node for cycle in in_hard for node in cycle.nodes}
    soft = [cycle for cycle in cycles if not cycle.hard]
    assert len(soft) == sum(not found & set(group) for group in components(edges))


FEW = st.lists(st.builds(Edge, st.integers(0, 2), st.integers(0, 2), st.booleans(), st.sampled_from("abc")))


@given(FEW, st.randoms(use_true_random=False))
def test_the_order_of_the_edges_does_not_matter(edges, random):
    shuffled = random.sample(edges, len(edges))

    assert find_cycles(shuffled) == find_cycles(edges)


def test_a_cycle_reads_as_who_waits_for_whom():
    edges = [Edge(3, 1, what="map"), Edge(1, 2, what="object"), Edge(2, 3, what="page"), Edge(9, 3)]

    (cycle,) = find_cycles(edges)

    assert cycle.nodes == (1, 2, 3)
    assert [edge.what for edge in cycle.edges] == ["object", "page", "map"]
    assert cycle.hard


def test_a_place_in_a_queue_is_told_from_a_holder():
    edges = [Edge(1, 2, hard=False), Edge(2, 1)]

    (cycle,) = find_cycles(edges)

    assert not cycle.hard
    assert [edge.hard for edge in cycle.edges] == [False, True]


def test_a_hard_edge_is_preferred_to_a_soft_one_between_the_same_two():
    edges = [Edge(1, 2, hard=False), Edge(1, 2), Edge(2, 1)]

    (cycle,) = find_cycles(edges)

    assert cycle == Cycle((Edge(1, 2), Edge(2, 1)))


def test_a_node_that_waits_for_itself_is_a_cycle_of_one():
    assert find_cycles([Edge(4, 4)]) == [Cycle((Edge(4, 4),))]


def test_a_long_chain_of_waiters_needs_no_recursion():
    chain = [Edge(i, i + 1) for i in range(20_000)]

    assert find_cycles(chain) == []
    assert components([*chain, Edge(20_000, 0)]) == [list(range(20_001))]
