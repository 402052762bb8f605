"""The network: a graph convolutional network over stage graphs.

Source of the idea: "A graph neural network-based performance model for deep learning applications" (MAPS 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from .network import StageNetwork, drawing_nothing


class StageGCN(StageNetwork):
    r"""Scores stage graphs by graph convolutions along and against the data flow.

    With :math:`h_v` the encoded stage and :math:`e_{uv}` the encoded edge from producer u to consumer v:

    .. math::
        x^{0}_v &= \mathrm{MLP}(f_v) + \sum_{u \to v} P\, e_{uv} + \sum_{v \to w} C\, e_{vw} \\
        x^{l+1} &= x^{l} + \mathrm{SiLU}(\mathrm{LayerNorm}(
            \mathrm{GCN}_{\rightarrow}(x^{l}) + \mathrm{GCN}_{\leftarrow}(x^{l}))) \\
        t_v &= \mathrm{MLP}([x^{0}_v, \dots, x^{L}_v])

    See `StageNetwork` for how the stages' times make the score. LayerNorm is per node, so a graph's score does not
    depend on which other graphs share its batch.

    Args:
        node_dim: F, node feature columns.
        edge_dim: G, edge feature columns; 0 switches the edge encoder off.
        hidden_dim: width of every hidden layer.
        num_layers: graph-convolution blocks.
        jumping_knowledge: the head reads every block's output (True) or the last one's.
        dropout: share of the hidden values that training drops.
        seed: of the initial parameters. The global random state is neither read nor changed.
    """

    def __init__(
        self,
        node_dim: int,
        edge_dim: int,
        hidden_dim: int = 64,
        num_layers: int = 2,
        *,
        jumping_knowledge: bool = True,
        dropout: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(node_dim, edge_dim, hidden_dim, num_layers)
        self.jumping_knowledge = jumping_knowledge

        with drawing_nothing():
            self.node_encoder = nn.Sequential(
                nn.Linear(node_dim, hidden_dim), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden_dim, hidden_dim)
            )
            self.edge_encoder: nn.Module | None = None
            if edge_dim:
                self.edge_encoder = nn.Sequential(nn.Linear(edge_dim, hidden_dim), nn.SiLU())
                self.edge_to_consumer = nn.Linear(hidden_dim, hidden_dim, bias=False)
                self.edge_to_producer = nn.Linear(hidden_dim, hidden_dim, bias=False)
            self.forward_convs = nn.ModuleList(self.init_conv(hidden_dim, hidden_dim) for _ in range(num_layers))
            self.backward_convs = nn.ModuleList(self.init_conv(hidden_dim, hidden_dim) for _ in range(num_layers))
            self.norms = nn.ModuleList(nn.LayerNorm(hidden_dim) for _ in range(num_layers))
            self.dropout = nn.Dropout(dropout)
            self.head = self.make_head(hidden_dim * (num_layers + 1 if jumping_knowledge else 1), dropout)
        self.reset_parameters(seed)

    def init_conv(self, in_channels: int, out_channels: int) -> nn.Module:
        """The convolution of every block, called as `conv(x, edge_index)`. Override it to try another one."""
        conv: nn.Module = GCNConv(in_channels, out_channels)
        return conv

    def embed_stages(
        self, node_features: Tensor, edge_index: Tensor, edge_features: Tensor, node_graph: Tensor, num_graphs: int
    ) -> Tensor:
        x = self.node_encoder(node_features)
        if self.edge_encoder is not None and edge_index.shape[1]:
            edges = self.edge_encoder(edge_features)
            # index_add, not x[index] += ...: its backward is a plain gather, which is deterministic on CPU.
            x = x.index_add(0, edge_index[1], self.edge_to_consumer(edges))
            x = x.index_add(0, edge_index[0], self.edge_to_producer(edges))
        reversed_index = edge_index.flip(0)
        outputs = [x]
        for forward_conv, backward_conv, norm in zip(self.forward_convs, self.backward_convs, self.norms, strict=True):
            message = forward_conv(x, edge_index) + backward_conv(x, reversed_index)
            x = x + self.dropout(nn.functional.silu(norm(message)))
            outputs.append(x)
        return torch.cat(outputs, dim=1) if self.jumping_knowledge else x
