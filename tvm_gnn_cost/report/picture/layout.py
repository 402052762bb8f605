"""Places the boxes of a graph in layers, producers above consumers, so that no two overlap; routes its edges.

The method is that of Graphviz's dot (Gansner et al., "A technique for drawing directed graphs", 1993): rank, order
within ranks, place. Ranks come from networkx; places minimise the squared horizontal lengths of edges under the
distances that the boxes need (scipy), so that they are free of overlaps by construction. Every edge gets a box of its
own for its label. Lengths are points, y grows downwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Size = tuple[float, float]
Point = tuple[float, float]
Stop = tuple[float, float, float]
"""x, top, bottom: a vertical piece of an edge, or the place of a box in its layer."""

_SWEEPS = 24
_STRAIGHTNESS = (1.0, 2.0, 200.0)
"""How much a piece of an edge should be vertical, by how many of its ends are no box: long edges run straight."""
_NARROW = 6.0  # the width that a passing edge takes


@dataclass(frozen=True)
class Route:
    """An edge's way: `stops` are to be joined by curves; `label` is a centre."""

    stops: tuple[Stop, ...]
    label: Point


@dataclass(frozen=True)
class Layout:
    """Centres of the boxes, a route for each edge, and the size of the whole."""

    centres: tuple[Point, ...]
    routes: tuple[Route, ...]
    width: float
    height: float


def layered_layout(
    boxes: Sequence[Size],
    edges: Sequence[tuple[int, int]],
    labels: Sequence[Size],
    weights: Sequence[float],
    *,
    gap: Size,
) -> Layout:
    """Places `boxes` (width, height) joined by `edges` (producer, consumer), which must have no cycle.

    Args:
        labels: the size of each edge's label, (0, 0) for none.
        weights: how much each edge should be vertical.
        gap: the least distance between neighbours in a layer, and between layers.
    """
    import networkx as nx

    upwards = nx.DiGraph()
    upwards.add_nodes_from(range(len(boxes)))
    upwards.add_edges_from(edges)
    upwards = upwards.reverse()
    cut = _cut_edges(boxes, _ranks(upwards), edges, labels, weights)
    layers = _order(cut.ranks, cut.links, nx.dfs_postorder_nodes(upwards))
    x = _place(layers, cut.links, [width for width, _ in cut.sizes], gap[0])
    bands = _bands(layers, [height for _, height in cut.sizes], gap[1])
    stops = [(x[v], *bands[rank]) for v, rank in enumerate(cut.ranks)]
    consumers = {consumer for _, consumer in edges}
    return Layout(
        centres=tuple(_centre(stops[v], height, v in consumers) for v, (_, height) in enumerate(boxes)),
        routes=tuple(_route([stops[v] for v in chain[1:-1]]) for chain in cut.chains),
        width=max((x[v] + width / 2 for v, (width, _) in enumerate(cut.sizes)), default=0.0),
        height=bands[-1][1] if bands else 0.0,
    )


def _ranks(upwards: Any) -> list[int]:
    """The layer of every box, an even number: between two layers of boxes there is one for labels.

    From the outputs upwards: an input then stands just above its first consumer.
    """
    import networkx as nx

    generations = list(nx.topological_generations(upwards))
    rank = {v: 2 * (len(generations) - 1 - g) for g, layer in enumerate(generations) for v in layer}
    return [rank[v] for v in range(len(rank))]


@dataclass(frozen=True)
class _CutEdges:
    """The graph with every edge cut at the layers that it passes: the vertices are the boxes, then all cuts.

    Attributes:
        sizes, ranks: of every vertex. The first cut of an edge has the size of its label.
        chains: the vertices on the way of each edge.
        links: (upper vertex, lower vertex, how much it should be vertical), of all pieces.
    """

    sizes: list[Size]
    ranks: list[int]
    chains: list[list[int]]
    links: list[tuple[int, int, float]]


def _cut_edges(
    boxes: Sequence[Size],
    ranks: Sequence[int],
    edges: Sequence[tuple[int, int]],
    labels: Sequence[Size],
    weights: Sequence[float],
) -> _CutEdges:
    cut = _CutEdges(list(boxes), list(ranks), [], [])
    for (producer, consumer), label, weight in zip(edges, labels, weights, strict=True):
        chain = [producer]
        first = ranks[producer] + 1
        for rank in range(first, ranks[consumer]):
            cut.sizes.append((max(label[0], _NARROW), label[1]) if rank == first else (_NARROW, 0.0))
            cut.ranks.append(rank)
            chain.append(len(cut.sizes) - 1)
        chain.append(consumer)
        cut.chains.append(chain)
        for u, v in zip(chain, chain[1:], strict=False):
            inner = (u >= len(boxes)) + (v >= len(boxes))
            cut.links.append((u, v, weight * _STRAIGHTNESS[inner]))
    return cut


def _centre(stop: Stop, height: float, has_producer: bool) -> Point:
    """Boxes hang from the top of their layer, except inputs, which stand on its bottom, near their consumers."""
    x, top, bottom = stop
    return (x, (top if has_producer else bottom - height) + height / 2)


def _route(stops: Sequence[Stop]) -> Route:
    """The way of an edge through its cuts; the label stands at the first."""
    x, top, bottom = stops[0]
    return Route(tuple(stops), (x, (top + bottom) / 2))


def _order(ranks: Sequence[int], links: Sequence[tuple[int, int, float]], first: Any) -> list[list[int]]:
    """The vertices of every layer from left to right, with few crossings: barycentre sweeps, the best of all kept."""
    above: dict[int, list[int]] = {v: [] for v in range(len(ranks))}
    below: dict[int, list[int]] = {v: [] for v in range(len(ranks))}
    for u, v, _ in links:
        above[v].append(u)
        below[u].append(v)
    start = {v: float(i) for i, v in enumerate(first)}
    layers: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
    for v in sorted(range(len(ranks)), key=lambda v: start.get(v, float(v))):
        layers[ranks[v]].append(v)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for r in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            fixed = layers[r - 1 if down else r + 1]
            place = {v: i / max(1, len(fixed) - 1) for i, v in enumerate(fixed)}
            own = {v: i / max(1, len(layers[r]) - 1) for i, v in enumerate(layers[r])}
            neighbours: Mapping[int, list[int]] = above if down else below
            key = {v: float(np.mean([place[u] for u in neighbours[v]] or [own[v]])) for v in layers[r]}
            layers[r].sort(key=key.__getitem__)
        crossings = _crossings(layers, below)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _crossings(layers: Sequence[Sequence[int]], below: Mapping[int, Sequence[int]]) -> int:
    count = 0
    for upper, lower in zip(layers, layers[1:], strict=False):
        place = {v: i for i, v in enumerate(lower)}
        ends = [sorted(place[w] for w in below[v]) for v in upper]
        flat = [e for end in ends for e in end]
        count += sum(a > b for i, a in enumerate(flat) for b in flat[i + 1 :])
    return count


def _place(
    layers: Sequence[Sequence[int]], links: Sequence[tuple[int, int, float]], widths: Sequence[float], gap: float
) -> list[float]:
    """x of every vertex: least squares over the links. The unknowns are the first x of each layer, and the distance
    of each other vertex from its left neighbour, which is bounded below."""
    from scipy.optimize import lsq_linear

    count = len(widths)
    if not count:
        return []
    position = np.zeros((count, count))  # x = position @ unknowns
    low = np.full(count, -np.inf)
    for layer in layers:
        for i, v in enumerate(layer):
            position[v, list(layer[: i + 1])] = 1.0
            if i:
                low[v] = (widths[layer[i - 1]] + widths[v]) / 2 + gap
    rows = [np.sqrt(w) * (position[u] - position[v]) for u, v, w in links]
    rows += [1e-3 * position[v] for v in range(count)]  # what is joined to nothing stays near the middle
    solved = lsq_linear(np.array(rows), np.zeros(len(rows)), (low, np.inf), method="bvls")
    x = position @ np.maximum(solved.x, low)
    return list(x - min(x[v] - widths[v] / 2 for v in range(count)))


def _bands(layers: Sequence[Sequence[int]], heights: Sequence[float], gap: float) -> list[tuple[float, float]]:
    """The top and the bottom of every layer."""
    bands = []
    top = 0.0
    for layer in layers:
        bottom = top + max((heights[v] for v in layer), default=0.0)
        bands.append((top, bottom))
        top = bottom + gap
    return bands
