"""The families of networks that can score stage graphs, and the two that came before graph convolution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import InvalidArgumentError
from .gcn import StageGCN
from .network import StageNetwork, drawing_nothing

if TYPE_CHECKING:
    from .config import TrainerConfig


class StageMLP(StageNetwork):
    """A feed-forward network on each stage by itself; edges are not read.

    The form of Halide's cost model, which sums the stages' times too: "Learning to optimize Halide with tree search and random programs" (SIGGRAPH 2019).

    Args:
        node_dim: F, node feature columns.
        edge_dim: ignored.
        hidden_dim: width of every hidden layer.
        num_layers: hidden layers after the first.
        dropout: share of the hidden values that training drops.
        seed: of the initial parameters.
    """

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
        super().__init__(node_dim, edge_dim, hidden_dim, num_layers)
        with drawing_nothing():
            layers: list[nn.Module] = [nn.Linear(node_dim, hidden_dim)]
            for _ in range(num_layers):
                layers += [nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden_dim, hidden_dim)]
            self.node_encoder = nn.Sequential(*layers)
            self.head = self.make_head(hidden_dim, dropout)
        self.reset_parameters(seed)

    def embed_stages(
        self, node_features: Tensor, edge_index: Tensor, edge_features: Tensor, node_graph: Tensor, num_graphs: int
    ) -> Tensor:
        embeddings: Tensor = self.node_encoder(node_features)
        return embeddings


class StageLSTM(StageNetwork):
    """A recurrent network over the stages in TVM's order, producers before consumers; edges are not read.

    After "Value learning for throughput optimization of deep learning workloads" (MLSys 2021), which reads Halide's
    stages with an LSTM. What it predicts of a stage depends on all stages before it.

    Args:
        node_dim: F, node feature columns.
        edge_dim: ignored.
        hidden_dim: width of every hidden layer and of the LSTM's state.
        num_layers: LSTM layers, at least one is made.
        dropout: share of the hidden values that training drops.
        seed: of the initial parameters.
    """

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
        super().__init__(node_dim, edge_dim, hidden_dim, num_layers)
        with drawing_nothing():
            self.node_encoder = nn.Sequential(
                nn.Linear(node_dim, hidden_dim), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden_dim, hidden_dim)
            )
            self.lstm = nn.LSTM(hidden_dim, hidden_dim, max(1, num_layers), batch_first=True)
            self.head = self.make_head(hidden_dim, dropout)
        self.reset_parameters(seed)

    def embed_stages(
        self, node_features: Tensor, edge_index: Tensor, edge_features: Tensor, node_graph: Tensor, num_graphs: int
    ) -> Tensor:
        lengths = torch.bincount(node_graph, minlength=num_graphs)
        place = torch.arange(len(node_graph), device=node_graph.device) - (lengths.cumsum(0) - lengths)[node_graph]
        padded = node_features.new_zeros(num_graphs, int(lengths.max()), self.hidden_dim)
        padded = padded.index_put((node_graph, place), self.node_encoder(node_features))
        states, _ = self.lstm(padded)  # causal, so the padding behind a graph's last stage changes nothing
        embeddings: Tensor = states[node_graph, place]
        return embeddings


NETWORKS: Mapping[str, Callable[..., StageNetwork]] = MappingProxyType(
    {"gcn": StageGCN, "mlp": StageMLP, "lstm": StageLSTM}
)


def make_network(config: TrainerConfig, node_dim: int, edge_dim: int, seed: int) -> StageNetwork:
    """The network that the options ask for. Raises InvalidArgumentError for an unknown family."""
    check_network(config.network)
    return NETWORKS[config.network](
        node_dim, edge_dim, config.hidden_dim, config.num_layers, dropout=config.dropout, seed=seed
    )


def check_network(name: object) -> None:
    """Raises InvalidArgumentError for an unknown family."""
    if name not in NETWORKS:
        raise InvalidArgumentError(f"unknown network {name!r}; known: {', '.join(NETWORKS)}")
