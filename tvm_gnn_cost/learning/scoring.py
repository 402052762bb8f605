"""A network's scores of many stage graphs: the part of a prediction that is neither reading nor calibration."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from tvm_gnn_cost.graphs.stage_graph import FloatArray, IntArray, StageGraphBatch
from tvm_gnn_cost.learning.networks.stage_network import StageNetwork
from tvm_gnn_cost.learning.scaling import FeatureScaler
from tvm_gnn_cost.learning.threads import single_threaded
from tvm_gnn_cost.system.machine import num_cores

_NODES_PER_PIECE = 2048
"""On the CPU: intermediate results then stay in the cache of a core, and need no fresh memory from the system."""
_NODES_PER_PIECE_ON_GPU = 1 << 18


class Scorer:
    """Scores graphs with a network and its scalers, in evaluation mode and without gradients.

    The batch goes through the network in pieces, whose bounds depend on the graphs alone; on the CPU every core takes
    pieces. Scores do not depend on how many cores there are.
    """

    def __init__(
        self, network: StageNetwork, node_scaler: FeatureScaler, edge_scaler: FeatureScaler, device: torch.device
    ) -> None:
        self.network, self.node_scaler, self.edge_scaler = network, node_scaler, edge_scaler
        self.device = device

    def __call__(self, graphs: StageGraphBatch) -> tuple[FloatArray, FloatArray]:
        """Scores float32 (number of graphs,) and time shares float32 (number of nodes,)."""
        scores = np.empty(len(graphs), np.float32)
        time_shares = np.empty(len(graphs.node_features), np.float32)

        def score(bounds: tuple[int, int]) -> None:
            begin, end = bounds
            with torch.inference_mode():
                one, many = self.network(*self.tensors(graphs.slice(begin, end)))
            scores[begin:end] = one.cpu().numpy()
            time_shares[graphs.node_ptr[begin] : graphs.node_ptr[end]] = many.cpu().numpy()

        on_cpu = self.device.type == "cpu"
        pieces = list(_pieces(graphs.node_ptr, _NODES_PER_PIECE if on_cpu else _NODES_PER_PIECE_ON_GPU))
        workers = min(len(pieces), num_cores()) if on_cpu else 1
        with single_threaded():
            if workers > 1:
                with ThreadPoolExecutor(workers, "score") as pool:
                    list(pool.map(score, pieces))
            else:
                for piece in pieces:
                    score(piece)
        return scores, time_shares

    def tensors(self, graphs: StageGraphBatch) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
        """The arguments of the network's `forward`, scaled and on its device."""
        node, edge = (
            torch.from_numpy(np.ascontiguousarray(a)).to(self.device)
            for a in (
                self.node_scaler.transform(graphs.node_features),
                self.edge_scaler.transform(graphs.edge_features),
            )
        )
        index, owner = (torch.from_numpy(a).to(self.device) for a in (graphs.edge_index, graphs.node_graph))
        return node, index, edge, owner, len(graphs)


def _pieces(node_ptr: IntArray, nodes: int) -> Iterator[tuple[int, int]]:
    """Ranges of graphs with at most so many nodes, or one graph, each."""
    begin, count = 0, len(node_ptr) - 1
    while begin < count:
        end = int(np.searchsorted(node_ptr, node_ptr[begin] + nodes, side="right")) - 1
        end = min(max(end, begin + 1), count)
        yield begin, end
        begin = end
