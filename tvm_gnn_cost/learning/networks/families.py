"""The families of networks that can score stage graphs, and the two that came before graph convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor, nn

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.learning.networks.gcn import StageGCN
from tvm_gnn_cost.learning.networks.stage_network import RowDropout, StageNetwork


class StageMLP(StageNetwork):
    """A feed-forward network on each stage by itself; edges are not read.

    The form of Halide's cost model, which sums the stages' times too: "Learning to optimize Halide with tree search and
    random programs" (SIGGRAPH 2019).

    Shapes:
        * **input:** node features :math:`(N, F)`; the node-to-graph vector :math:`(N,)` only says which stages are
          summed
        * **output:** times :math:`(N,)` of the stages (`stage_times`); scores :math:`(B,)` and time shares :math:`(N,)`

    The arguments are those of `StageNetwork`: `num_layers` hidden layers after the
    encoder's.
    """

    def build(self, dropout: float) -> int:
        layers: list[nn.Module] = list(self.make_encoder(self.node_dim, dropout))
        for _ in range(self.num_layers - 1):
            layers += [nn.SiLU(), RowDropout(dropout), nn.Linear(self.hidden_dim, self.hidden_dim)]
        self.node_encoder = nn.Sequential(*layers)
        return self.hidden_dim

    def stage_times(
        self, node_features: Tensor, edge_index: Tensor, edge_features: Tensor, node_graph: Tensor, num_graphs: int
    ) -> Tensor:
        times: Tensor = self.head(self.node_encoder(node_features))
        return times


class StageLSTM(StageNetwork):
    """A recurrent network over the stages in TVM's order, producers before consumers; edges are not read.

    After "Value learning for throughput optimization of deep learning workloads" (MLSys 2021), which reads Halide's
    stages with an LSTM. What it predicts of a stage depends on all stages before it.

    Shapes:
        * **input:** node features :math:`(N, F)` in TVM's order of stages, node-to-graph vector :math:`(N,)`, ascending
        * **output:** times :math:`(N,)` of the stages (`stage_times`); scores :math:`(B,)` and time shares :math:`(N,)`
        * **inside:** :math:`(B, S, H)`, padded to S, the stages of the longest graph

    The arguments are those of `StageNetwork`: `num_layers` layers of the LSTM, at least one.
    """

    def build(self, dropout: float) -> int:
        self.node_encoder = self.make_encoder(self.node_dim, dropout)
        self.lstm = nn.LSTM(self.hidden_dim, self.hidden_dim, max(1, self.num_layers), batch_first=True)
        return self.hidden_dim

    def stage_times(
        self, node_features: Tensor, edge_index: Tensor, edge_features: Tensor, node_graph: Tensor, num_graphs: int
    ) -> Tensor:
        lengths = torch.bincount(node_graph, minlength=num_graphs)
        place = torch.arange(len(node_graph), device=node_graph.device) - (lengths.cumsum(0) - lengths)[node_graph]
        padded = node_features.new_zeros(num_graphs, int(lengths.max()), self.hidden_dim)
        padded = padded.index_put((node_graph, place), self.node_encoder(node_features))
        states, _ = self.lstm(padded)  # causal, so the padding behind a graph's last stage changes nothing
        times: Tensor = self.head(states[node_graph, place])
        return times


NETWORKS: Mapping[str, Callable[..., StageNetwork]] = MappingProxyType(
    {"gcn": StageGCN, "mlp": StageMLP, "lstm": StageLSTM}
)


def make_network(
    name: str, node_dim: int, edge_dim: int, hidden_dim: int, num_layers: int, *, dropout: float, seed: int
) -> StageNetwork:
    """The network of that family. The other arguments are those of `StageNetwork`.

    Raises InvalidArgumentError for an unknown family.
    """
    check_network(name)
    return NETWORKS[name](node_dim, edge_dim, hidden_dim, num_layers, dropout=dropout, seed=seed)


def check_network(name: object) -> None:
    """Raises InvalidArgumentError for an unknown family."""
    if name not in NETWORKS:
        raise InvalidArgumentError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
