"""The network: a graph convolutional network over stage graphs.

Source of the idea: "A graph neural network-based performance model for deep learning applications" (MAPS 2022).
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from tvm_gnn_cost.learning.networks.stage_network import RowDropout, StageNetwork, TimeHead

with warnings.catch_warnings():  # its own use of what torch is about to remove is not our user's concern
    warnings.filterwarnings("ignore", message=r"`torch\.jit")
    from torch_geometric.nn import GCNConv


class StageGCN(StageNetwork):
    r"""Scores stage graphs by graph convolutions along and against the data flow, and by what each edge costs.

    With :math:`f_v` the features of a stage, :math:`e_{uv} = \mathrm{MLP}(g_{uv})` the encoded edge from producer u to
    consumer v, :math:`\sigma` SiLU and :math:`\mathrm{Time}` the last layers:

    .. math::
        x^{0}_v &= \mathrm{MLP}(f_v) + \sum_{u \to v} P\, \sigma(e_{uv}) + \sum_{v \to w} C\, \sigma(e_{vw}) \\
        x^{l+1} &= x^{l} + \sigma(\mathrm{LayerNorm}(
            \mathrm{GCN}_{\rightarrow}(x^{l}) + \mathrm{GCN}_{\leftarrow}(x^{l}))), \qquad
        x_v = [x^{0}_v, \dots, x^{L}_v] \\
        T_v &= \mathrm{Time}(D\, x_v) + \sum_{u \to v} \mathrm{Time}(e_{uv} + A\, x_u + B\, x_v)

    A stage takes the time of its own work and that of every read through an edge, which depends on how the two stages
    run: whether a vector is loaded or gathered, from which memory, how often. See `StageNetwork` for how the stages'
    times make the score. LayerNorm is per node, so a graph's score does not depend on which other graphs share its
    batch.

    Shapes:
        * **input:** those of `StageNetwork`: node features :math:`(N, F)`, edge index :math:`(2, E)`, edge features
          :math:`(E, G)`, node-to-graph vector :math:`(N,)`
        * **output:** times :math:`(N,)` of the stages (`stage_times`); scores :math:`(B,)` and time shares :math:`(N,)`
        * **inside:** :math:`e` is :math:`(E, H)`, :math:`x^{l}` is :math:`(N, H)`, and :math:`x`, all of them side by
          side, is :math:`(N, H (L + 1))`

    The arguments are those of `StageNetwork`: `num_layers` graph-convolution blocks, and `edge_dim` 0 leaves only what
    the convolutions pass along the edges.
    """

    of_edges = ("edge_encoder", "reading_head")

    def build(self, dropout: float) -> int:
        hidden, blocks = self.hidden_dim, range(self.num_layers)
        width = hidden * (self.num_layers + 1)
        self.node_encoder = self.make_encoder(self.node_dim, dropout)
        if self.edge_dim:
            self.edge_encoder = self.make_encoder(self.edge_dim, dropout)
            self.edge_to_consumer = nn.Linear(hidden, hidden, bias=False)
            self.edge_to_producer = nn.Linear(hidden, hidden, bias=False)
            self.reading_producer = nn.Linear(width, hidden, bias=False)
            self.reading_consumer = nn.Linear(width, hidden)
            self.reading_head = TimeHead(hidden, dropout)
        self.forward_convs = nn.ModuleList(self.init_conv(hidden, hidden) for _ in blocks)
        self.backward_convs = nn.ModuleList(self.init_conv(hidden, hidden) for _ in blocks)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in blocks)
        self.dropout = RowDropout(dropout)
        return width

    def init_conv(self, in_channels: int, out_channels: int) -> nn.Module:
        """The convolution of every block, called as `conv(x, edge_index)`. Override it to try another one."""
        conv: nn.Module = GCNConv(in_channels, out_channels)
        return conv

    def stage_times(
        self, node_features: Tensor, edge_index: Tensor, edge_features: Tensor, node_graph: Tensor, num_graphs: int
    ) -> Tensor:
        x = self.node_encoder(node_features)
        if not (self.edge_dim and (edge_index.shape[1] or self.batch_edges)):
            own: Tensor = self.head(self._convolve(x, edge_index))
            return own
        producers, consumers = edge_index
        edges = self.edge_encoder(edge_features)
        # index_add and index_select, not x[index]: their backward is deterministic on CPU.
        flow = silu(edges)
        x = x.index_add(0, consumers, self.edge_to_consumer(flow)).index_add(0, producers, self.edge_to_producer(flow))
        x = self._convolve(x, edge_index)
        reading = self.reading_producer(x).index_select(0, producers)
        reading = reading + self.reading_consumer(x).index_select(0, consumers) + edges
        own = self.head(x)
        return own.index_add(0, consumers, self.reading_head(reading))

    def _convolve(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """The stages after every block side by side: (N, H) -> (N, H (L + 1))."""
        reversed_index = edge_index.flip(0)
        outputs = [x]
        for forward_conv, backward_conv, norm in zip(self.forward_convs, self.backward_convs, self.norms, strict=True):
            message = forward_conv(x, edge_index) + backward_conv(x, reversed_index)
            x = x + self.dropout(silu(norm(message)))
            outputs.append(x)
        return torch.cat(outputs, dim=1)
