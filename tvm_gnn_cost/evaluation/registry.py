"""Methods by their names on the command line."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.boosting import STOCK, WARM_UP, NodeMethod, StockMethod, StockTraining
from tvm_gnn_cost.evaluation.methods import Method, RandomMethod
from tvm_gnn_cost.evaluation.networks import NetworkMethod
from tvm_gnn_cost.learning import TrainerConfig

NETWORKS = {"gnn": "gcn", "mlp": "mlp", "lstm": "lstm"}
"""Names of networks, and the family of `TrainerConfig.network` that each is."""

_NETWORK = re.compile(
    rf"(?P<network>{'|'.join(NETWORKS)})(?P<cold>-cold)?(?P<own>-own)?(?:-x(?P<members>[2-9]|[1-9]\d))?"
)

STOCK_METHODS = {STOCK: 0, f"{STOCK}-warmup": WARM_UP}
"""Names of stock's model, and the records that it waits for."""

METHOD_NAMES = (*NETWORKS, *(f"{name}-cold" for name in NETWORKS), *STOCK_METHODS, NodeMethod.name, RandomMethod.name)
"""All names. A network's may be followed by -own, with what the task's own records say beside it, and by -x3 for
the average of three, of different seeds."""


def make_method(
    name: str,
    config: TrainerConfig,
    checkpoint: Path | None = None,
    device: str = "auto",
    *,
    train_stock: StockTraining | None = None,
    workload_of: Callable[[str], str] = str,
) -> Method:
    """The method of that name.

    Args:
        config: of networks.
        checkpoint: what `gnn` starts from; None: a network trained on the training pools. Other methods ignore it.
        device: of networks.
        train_stock: how the schedulers' own models learn, see `StockMethod`: `xgboost` needs it.
        workload_of: what `Pool.workload` is for the workload key of a task that a checkpoint learnt.

    Raises InvalidArgumentError for a name that is unknown or whose packages are missing.
    """
    if name in STOCK_METHODS or name == NodeMethod.name:
        if importlib.util.find_spec("xgboost") is None:
            raise InvalidArgumentError(f'model {name} needs xgboost: pip install "tvm-gnn-cost[xgboost]"')
        if name == NodeMethod.name:
            return NodeMethod()
        if train_stock is None:
            raise InvalidArgumentError(f"model {name} learns as a scheduler's own cost model does: give `train_stock`")
        return StockMethod(train_stock, STOCK_METHODS[name])
    if name == RandomMethod.name:
        return RandomMethod()
    match = _NETWORK.fullmatch(name)
    if match is None:
        raise InvalidArgumentError(
            f"unknown model {name!r}; known: {', '.join(METHOD_NAMES)}, and gnn-x3 for the average of three networks, "
            "gnn-own for one beside which a task's own records speak"
        )
    cold, members = bool(match["cold"]), int(match["members"] or 1)
    return NetworkMethod(
        name,
        replace(config, network=NETWORKS[match["network"]], own_records=config.own_records or bool(match["own"])),
        cold=cold,
        members=members,
        checkpoint=checkpoint if match["network"] == "gnn" and not cold and members == 1 else None,
        device=device,
        workload_of=workload_of,
    )
