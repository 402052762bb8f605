"""The network: a graph convolutional network over stage graphs.

Source of the idea: "A graph neural network-based performance model for deep learning applications" (MAPS 2022).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import GCNConv

from .network import StageNetwork


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

    The arguments are those of `StageNetwork`: `num_layers` graph-convolution blocks, and `edge_dim` 0 switches the edge
    encoder off.
    """

    def build(self, dropout: float) -> int:
        hidden, blocks = self.hidden_dim, range(self.num_layers)
        self.node_encoder = self.make_encoder(dropout)
        self.edge_encoder: nn.Module | None = None
        if self.edge_dim:
            self.edge_encoder = nn.Sequential(nn.Linear(self.edge_dim, hidden), nn.SiLU())
            self.edge_to_consumer = nn.Linear(hidden, hidden, bias=False)
            self.edge_to_producer = nn.Linear(hidden, hidden, bias=False)
        self.forward_convs = nn.ModuleList(self.init_conv(hidden, hidden) for _ in blocks)
        self.backward_convs = nn.ModuleList(self.init_conv(hidden, hidden) for _ in blocks)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in blocks)
        self.dropout = nn.Dropout(dropout)
        return hidden * (self.num_layers + 1)

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
        return torch.cat(outputs, dim=1)
