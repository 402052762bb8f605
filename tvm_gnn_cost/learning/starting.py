"""How a learner of stage graphs begins: new, from a checkpoint, or from the network that ships with the package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.graphs.schema import EDGE_DIM, NODE_DIM, SCHEMA_VERSION
from tvm_gnn_cost.learning.checkpoint import load_checkpoint, save_checkpoint
from tvm_gnn_cost.learning.config import TrainerConfig
from tvm_gnn_cost.learning.trainer import Trainer

SHAPING_OPTIONS = ("network", "hidden_dim", "num_layers")
"""Options of `TrainerConfig` that decide which weights a network has: a checkpoint's stay what they are."""


def new_trainer(config: TrainerConfig | None, *, seed: int, device: str) -> Trainer:
    """A trainer that knows nothing. Raises InvalidArgumentError for a bad seed or device."""
    return Trainer(config, node_dim=NODE_DIM, edge_dim=EDGE_DIM, seed=seed, device=device)


def load_trainer(path: str | os.PathLike[str], device: str) -> tuple[Trainer, dict[str, Any]]:
    """The trainer saved in a file, as it was, and what its owner saved with it; see `load_checkpoint`."""
    return load_checkpoint(path, device, schema_version=SCHEMA_VERSION)


def save_trainer(path: str | os.PathLike[str], trainer: Trainer, extra: Mapping[str, Any] | None = None) -> None:
    """Writes the trainer, and what its owner wants to find again; see `save_checkpoint`."""
    save_checkpoint(path, trainer, extra, schema_version=SCHEMA_VERSION)


def continue_trainer(
    path: str | os.PathLike[str],
    *,
    device: str,
    options: Mapping[str, Any] | None = None,
    seed: int | None = None,
    generator: np.random.Generator | None = None,
) -> tuple[Trainer, dict[str, Any] | None]:
    """The trainer saved in a file, to go on with in another way; and the card of its network, if it has one.

    Args:
        path: a checkpoint.
        device: as for `Trainer`.
        options: of `TrainerConfig`, in place of the checkpoint's; those of SHAPING_OPTIONS are not looked at.
        seed: from now on; None: the checkpoint's.
        generator: of batches and splits; None: goes on where the checkpoint's stopped.

    Raises CheckpointError where the file cannot be used, InvalidArgumentError for a bad option or device.
    """
    trainer, extra = load_trainer(path, device)
    changes = {name: value for name, value in (options or {}).items() if name not in SHAPING_OPTIONS}
    trainer.config = replace(trainer.config, **changes)
    trainer.seed = trainer.seed if seed is None else seed
    trainer.generator = trainer.generator if generator is None else generator
    return trainer, extra.get("card")


def shipped_checkpoint(kind: str) -> Path | None:
    """The pretrained network in the package for a kind of target, "cpu" or "gpu", if there is one."""
    path = Path(__file__).parents[1] / "pretrained" / f"{kind}.ckpt"
    return path if path.exists() else None
