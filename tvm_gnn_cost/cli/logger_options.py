"""The option `--logger`, and the loggers that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tvm_gnn_cost.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tvm_gnn_cost.loggers import MetricLogger

_DEFAULTS = {"tensorboard": "runs", "wandb": "tvm-gnn-cost", "mlflow": "mlruns", "jsonl": "metrics.jsonl"}
"""Each kind, and where it goes unless something else is named."""

logger_option = click.option(
    "--logger",
    "loggers",
    multiple=True,
    metavar="KIND[=WHERE]",
    help="Keep the metrics in an experiment tracker too: tensorboard=FOLDER, wandb=PROJECT (offline), mlflow=FOLDER or "
    "jsonl=FILE. Repeatable.",
)


def make_loggers(named: Sequence[str], config: Mapping[str, Any]) -> list[MetricLogger]:
    """The loggers of a command line, with the settings of the run.

    Raises InvalidArgumentError for an unknown kind, LoggerNotAvailableError where a library is missing.
    """
    if not named:
        return []
    from tvm_gnn_cost.loggers import JSONLLogger, MLflowLogger, TensorBoardLogger, WandbLogger

    made: list[MetricLogger] = []
    for text in named:
        kind, _, where = text.partition("=")
        if kind not in _DEFAULTS:
            raise InvalidArgumentError(f"--logger {text}: the kinds are {', '.join(_DEFAULTS)}, as in jsonl=run.jsonl")
        where = where or _DEFAULTS[kind]
        if kind == "tensorboard":
            made.append(TensorBoardLogger(where, config))
        elif kind == "wandb":
            made.append(WandbLogger(where, config=config))
        elif kind == "mlflow":
            made.append(MLflowLogger(where, config=config))
        else:
            made.append(JSONLLogger(where, config))
    return made
