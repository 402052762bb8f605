"""The options of a `Trainer`."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.learning.losses import get_loss
from tvm_gnn_cost.learning.networks.families import check_network


@dataclass(frozen=True)
class TrainerConfig:
    """Options of a `Trainer`, checked when they are made.

    Training stops by step count or by `patience`, both of which repeat exactly. `max_seconds_per_update` is a safety
    net, far above the usual second: an update that it cuts short depends on the clock, and its report says so.

    Attributes:
        network: a name in `families.NETWORKS`.
        hidden_dim: width of the network's hidden layers (1 to 4096).
        num_layers: graph-convolution blocks, or layers of another family (0 to 32).
        dropout: share of the hidden values that training drops, in [0, 0.9].
        loss: a name in `losses.LOSSES`.
        learning_rate: AdamW's peak rate; it warms up over 10 steps and falls to a tenth along a cosine.
        weight_decay: AdamW's decoupled weight decay.
        batch_size: graphs per step.
        max_steps_per_update: optimiser steps of one `partial_fit`.
        max_seconds_per_update: seconds after which a `partial_fit` ends in any case; `inf` switches it off.
        fit_epochs: passes of `fit` over the records (it makes at least `max_steps_per_update` steps).
        validation_fraction: share of a task's new records held out for early stopping, in [0, 0.9]; 0 switches it off.
        min_validation_records: new records of a task below which none are held out. The usual update of 64 is not
            split: holding 10 % out cost more ranking accuracy than early stopping gained (0.86 to 0.82 on toy tasks).
        patience: checks (20 per update or fit) without a better validation loss after which training stops.
        replay_size: records remembered for later updates.
        own_records: whether a task's own records also speak for themselves, beside the network (`own_records`). It
            helps a network that knows little else; a pretrained one does as well without.
    """

    network: str = "gcn"
    hidden_dim: int = 64
    num_layers: int = 2
    dropout: float = 0.2
    loss: str = "hybrid"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch_size: int = 128
    max_steps_per_update: int = 60
    max_seconds_per_update: float = 10.0
    fit_epochs: int = 30
    validation_fraction: float = 0.1
    min_validation_records: int = 256
    patience: int = 8
    replay_size: int = 20_000
    own_records: bool = False

    def __post_init__(self) -> None:
        check_network(self.network)
        get_loss(self.loss)
        if not isinstance(self.own_records, bool):
            raise InvalidArgumentError(f"own_records must be True or False, got {self.own_records!r}")
        ranges: dict[str, tuple[float, float]] = {
            "hidden_dim": (1, 4096),
            "num_layers": (0, 32),
            "dropout": (0.0, 0.9),
            "learning_rate": (1e-8, 1.0),
            "weight_decay": (0.0, 10.0),
            "batch_size": (2, 65_536),
            "max_steps_per_update": (1, 1_000_000),
            "max_seconds_per_update": (1e-3, math.inf),
            "fit_epochs": (1, 100_000),
            "validation_fraction": (0.0, 0.9),
            "min_validation_records": (16, 1_000_000),
            "patience": (1, 1_000_000),
            "replay_size": (1, 100_000_000),
        }
        for option in fields(self):
            if option.name not in ranges:
                continue
            value = getattr(self, option.name)
            low, high = ranges[option.name]
            whole = option.type == "int"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise InvalidArgumentError(f"{option.name} must be {'an int' if whole else 'a number'}, got {value!r}")
            if not low <= value <= high:
                raise InvalidArgumentError(f"{option.name} must be in [{low:g}, {high:g}], got {value!r}")
