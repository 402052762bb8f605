"""What all networks over stage graphs share: the sum of the stages' times, and how their parameters are drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from tvm_gnn_cost.errors import InvalidArgumentError

TIME_PARTS = 4
"""Parts of a time that a network tells apart."""

_MAX_OCTAVES = 40.0  # beyond, an untrained network's times would overflow


class StageNetwork(nn.Module):
    r"""Scores stage graphs; the base of the families in `families.NETWORKS`.

    A schedule takes the time of its stages. A subclass says of every stage several parts of the time that it takes
    (think of arithmetic and of the traffic of each memory), as logarithms :math:`t_{vk}`; the score is the throughput
    of their sum, in octaves, up to an offset of the task's own:

    .. math::
        T_v = \sum_k 2^{t_{vk}}, \qquad s_g = -\log_2 \sum_{v \in g} T_v, \qquad p_v = T_v\, 2^{s_g}

    :math:`p_v` is the share of the time that stage v takes. So what rules the time rules the score, and the many small
    stages of a long chain do not drown it as in a sum of scores.

    Shapes:
        * **input:** node features :math:`(N, F)`, edge index :math:`(2, E)` (row 0 producers), edge features
          :math:`(E, G)`, node-to-graph vector :math:`(N,)`, ascending
        * **output:** scores :math:`(B,)` in octaves (log2) of throughput, and time shares :math:`(N,)`, which sum to 1
          over the nodes of a graph

    Subclasses `build` their layers and say the `stage_times`; `head` makes times of embedded stages.

    Args:
        node_dim: F, node feature columns.
        edge_dim: G, edge feature columns.
        hidden_dim: width of every hidden layer.
        num_layers: what the family repeats.
        dropout: share of the hidden values that training drops.
        seed: of the initial parameters. The global random state is neither read nor changed.
    """

    head: nn.Sequential
    of_edges: tuple[str, ...] = ()
    """Its modules through which edges go; through the others go nodes."""
    batch_edges: int | None = None
    """Edges of the batch that the graphs at hand are a part of; None: they are all of it."""

    def __init__(
        self,
        node_dim: int,
        edge_dim: int,
        hidden_dim: int = 64,
        num_layers: int = 2,
        *,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if node_dim < 1 or edge_dim < 0 or hidden_dim < 1 or num_layers < 0:
            raise InvalidArgumentError(
                f"{type(self).__name__} needs node_dim >= 1, edge_dim >= 0, hidden_dim >= 1 and num_layers >= 0; got "
                f"{node_dim}, {edge_dim}, {hidden_dim}, {num_layers}"
            )
        self.node_dim, self.edge_dim = node_dim, edge_dim
        self.hidden_dim, self.num_layers = hidden_dim, num_layers
        # Layers initialise themselves from torch's global generator when they are built: the fork leaves no trace.
        with torch.random.fork_rng(devices=[]):
            width = self.build(dropout)
            self.head = nn.Sequential(nn.Linear(width, hidden_dim), TimeHead(hidden_dim, dropout))
        self.reset_parameters(seed)

    def build(self, dropout: float) -> int:
        """Makes the layers that embed stages; returns the width of an embedding, of which `head` makes times."""
        raise NotImplementedError

    def forward(
        self, node_features: Tensor, edge_index: Tensor, edge_features: Tensor, node_graph: Tensor, num_graphs: int
    ) -> tuple[Tensor, Tensor]:
        """Scores of the graphs and time shares of the nodes.

        Args:
            node_features: float32 (N, F), scaled.
            edge_index: int64 (2, E), producers and consumers.
            edge_features: float32 (E, G), scaled.
            node_graph: int64 (N,), the graph of each node.
            num_graphs: B.
        """
        times = self.stage_times(node_features, edge_index, edge_features, node_graph, num_graphs)
        total = sum_by_graph(times, node_graph, num_graphs)
        return -torch.log2(total), times / total.index_select(0, node_graph)

    def stage_times(
        self, node_features: Tensor, edge_index: Tensor, edge_features: Tensor, node_graph: Tensor, num_graphs: int
    ) -> Tensor:
        """The time that every stage takes, (N,), above 0. The arguments are those of `forward`."""
        raise NotImplementedError

    @contextmanager
    def part_of_batch(self, nodes: tuple[int, int, int], edges: tuple[int, int, int]) -> Iterator[None]:
        """Inside, what is dropped is drawn for a whole batch, of which only a part goes through.

        Args:
            nodes, edges: begin and end of the part, and the length of the whole.
        """
        dropouts = {name: module for name, module in self.named_modules() if isinstance(module, RowDropout)}
        for name, module in dropouts.items():
            module.rows = edges if name.partition(".")[0] in self.of_edges else nodes
        self.batch_edges = edges[2]
        try:
            yield
        finally:
            self.batch_edges = None
            for module in dropouts.values():
                module.rows = None

    def make_encoder(self, columns: int, dropout: float) -> nn.Sequential:
        """From features of a stage or an edge by itself, (M, columns), to (M, hidden_dim)."""
        return nn.Sequential(
            nn.Linear(columns, self.hidden_dim),
            nn.SiLU(),
            RowDropout(dropout),
            nn.Linear(self.hidden_dim, self.hidden_dim),
        )

    def reset_parameters(self, seed: int = 0) -> None:
        """Draws every parameter anew from a generator of its own: Glorot weights, zero biases, unit norms."""
        generator = torch.Generator().manual_seed(seed)
        norm_weights = {id(m.weight) for m in self.modules() if isinstance(m, nn.LayerNorm)}
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.dim() >= 2:
                    values = torch.empty(parameter.shape)
                    nn.init.xavier_uniform_(values, generator=generator)
                    parameter.copy_(values)
                elif id(parameter) in norm_weights:
                    parameter.fill_(1.0)
                else:
                    parameter.zero_()
            for module in self.modules():
                if isinstance(module, TimeHead):
                    module.last.weight.mul_(0.1)  # start near a score of 0 for graphs of any size

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(node_dim={self.node_dim}, edge_dim={self.edge_dim}, "
            f"hidden_dim={self.hidden_dim}, num_layers={self.num_layers})"
        )


class RowDropout(nn.Dropout):
    """Dropout of rows that may be a part of a batch: what is dropped is then drawn for all of it.

    Attributes:
        rows: begin and end of the part, and the length of the whole; None: the rows are the whole.
    """

    rows: tuple[int, int, int] | None = None

    def forward(self, input: Tensor) -> Tensor:
        if self.rows is None or not self.training or not self.p:
            return super().forward(input)
        begin, end, total = self.rows
        kept = torch.empty((total, *input.shape[1:]), dtype=input.dtype, device=input.device).bernoulli_(1.0 - self.p)
        return input * kept.div_(1.0 - self.p)[begin:end]


class TimeHead(nn.Module):
    r"""The last layers: from hidden values, before their activation, to times above 0.

    A time is the sum of K = `TIME_PARTS` parts, whose logarithms are what is predicted:

    .. math::
        \mathrm{Time}(h) = \sum_{k=1}^{K} 2^{t_k}, \qquad t = W\, \sigma(h) + b

    Shapes:
        * **input:** hidden values :math:`(M, H)`, of stages or of edges
        * **output:** times :math:`(M,)`

    Args:
        hidden_dim: H.
        dropout: share of the activated values that training drops.
    """

    def __init__(self, hidden_dim: int, dropout: float) -> None:
        super().__init__()
        self.dropout = RowDropout(dropout)
        self.last = nn.Linear(hidden_dim, TIME_PARTS)

    def forward(self, hidden: Tensor) -> Tensor:
        octaves = self.last(self.dropout(nn.functional.silu(hidden)))
        times: Tensor = torch.exp2(octaves.clamp(-_MAX_OCTAVES, _MAX_OCTAVES)).sum(dim=1)
        return times


def sum_by_graph(values: Tensor, node_graph: Tensor, num_graphs: int) -> Tensor:
    """Sums over the nodes of each graph: (N, ...) -> (B, ...)."""
    # index_add, not x[index] += ...: its backward is a plain gather, which is deterministic on CPU.
    return values.new_zeros((num_graphs, *values.shape[1:])).index_add(0, node_graph, values)
