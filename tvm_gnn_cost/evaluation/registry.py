"""Models by their names on the command line."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import replace
from pathlib import Path

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.boosting import NodeModel, StockModel
from tvm_gnn_cost.evaluation.models import Model, RandomModel
from tvm_gnn_cost.evaluation.networks import NetworkModel
from tvm_gnn_cost.learning import TrainerConfig

NETWORKS = {"gnn": "gcn", "mlp": "mlp", "lstm": "lstm"}
"""Names of networks, and the family of `TrainerConfig.network` that each is."""

_NETWORK = re.compile(rf"(?P<network>{'|'.join(NETWORKS)})(?P<cold>-cold)?(?:-x(?P<members>[2-9]|[1-9]\d))?")

MODEL_NAMES = (*NETWORKS, *(f"{name}-cold" for name in NETWORKS), StockModel.name, NodeModel.name, RandomModel.name)
"""All names; a network's may be followed by -x3 for the average of three, of different seeds."""


def make_model(name: str, config: TrainerConfig, checkpoint: Path | None = None, device: str = "auto") -> Model:
    """The model of that name.

    Args:
        config: of networks.
        checkpoint: what `gnn` starts from; None: a network trained on the training pools. Other models ignore it.
        device: of networks.

    Raises InvalidArgumentError for a name that is unknown or whose packages are missing.
    """
    boosted: dict[str, type[StockModel] | type[NodeModel]] = {m.name: m for m in (StockModel, NodeModel)}
    if name in boosted:
        if importlib.util.find_spec("xgboost") is None:
            raise InvalidArgumentError(f'model {name} needs xgboost: pip install "tvm-gnn-cost[tvm]"')
        return boosted[name]()
    if name == RandomModel.name:
        return RandomModel()
    match = _NETWORK.fullmatch(name)
    if match is None:
        raise InvalidArgumentError(
            f"unknown model {name!r}; known: {', '.join(MODEL_NAMES)}, and gnn-x3 for the average of three networks"
        )
    cold, members = bool(match["cold"]), int(match["members"] or 1)
    given = checkpoint if match["network"] == "gnn" and not cold and members == 1 else None
    config = replace(config, network=NETWORKS[match["network"]])
    return NetworkModel(name, config, cold=cold, members=members, checkpoint=given, device=device)
