"""What a network and its scalers have learnt, as named tensors: what files of the learner hold of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch

from tvm_gnn_cost.errors import CheckpointError
from tvm_gnn_cost.learning.archive import Tensors
from tvm_gnn_cost.learning.networks.stage_network import StageNetwork
from tvm_gnn_cost.learning.scaling import FeatureScaler


class Weighted(Protocol):
    """A network with the scalers of its features: a `Scorer`, or a `Trainer`."""

    network: StageNetwork
    node_scaler: FeatureScaler
    edge_scaler: FeatureScaler


def weight_tensors(owner: Weighted) -> Tensors:
    """The parameters of the network, `network.*`, and the statistics of the scalers, `scaler.*`."""
    tensors: Tensors = {
        f"network.{name}": np.ascontiguousarray(value.cpu().numpy())
        for name, value in owner.network.state_dict().items()
    }
    for name, scaler in _scalers(owner).items():
        tensors[f"scaler.{name}.mean"] = np.ascontiguousarray(scaler.mean_)
        tensors[f"scaler.{name}.variance"] = np.ascontiguousarray(scaler.variance_)
    return tensors


def scaler_counts(owner: Weighted) -> dict[str, int]:
    """Rows that each scaler has seen."""
    return {name: scaler.count_ for name, scaler in _scalers(owner).items()}


def load_weights(path: str | os.PathLike[str], owner: Weighted, weights: Tensors, counts: Mapping[str, int]) -> None:
    """Gives the owner what `weight_tensors` and `scaler_counts` said of another; `path` is where they were read.

    Raises CheckpointError where names or shapes are not those of the owner, or a value is not finite.
    """
    _check_weights(path, owner, weights)
    state = {name: torch.from_numpy(weights[f"network.{name}"].copy()) for name in owner.network.state_dict()}
    owner.network.load_state_dict(state)
    for name, scaler in _scalers(owner).items():
        scaler.mean_ = weights[f"scaler.{name}.mean"].astype(np.float64)
        scaler.variance_ = weights[f"scaler.{name}.variance"].astype(np.float64)
        scaler.count_ = int(counts[name])


def _scalers(owner: Weighted) -> dict[str, FeatureScaler]:
    return {"node": owner.node_scaler, "edge": owner.edge_scaler}


def _check_weights(path: str | os.PathLike[str], owner: Weighted, weights: Tensors) -> None:
    expected = {name: value.shape for name, value in weight_tensors(owner).items()}
    if expected.keys() != weights.keys():
        different = ", ".join(sorted(expected.keys() ^ weights.keys())[:3])
        raise CheckpointError(f"{path}: it misses or adds tensors ({different}); fetch it again")
    for name, shape in expected.items():
        if weights[name].shape != shape:
            raise CheckpointError(
                f"{path}: tensor {name} has shape {weights[name].shape}, its config asks for {shape}; fetch it again"
            )
        if not np.isfinite(weights[name]).all():
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity; train anew or use an earlier file")
