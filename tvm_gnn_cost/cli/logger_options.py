"""The option `--logger`, and the loggers that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
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
    asked = [_asked(text) for text in named]
    made: list[MetricLogger] = []
    with ExitStack() as opened:  # those made are closed where a later one cannot be
        for kind, where in asked:
            made.append(opened.enter_context(_make(kind, where, config)))
        opened.pop_all()
    return made


def _asked(text: str) -> tuple[str, str]:
    """The kind that KIND[=WHERE] names, and where it goes."""
    kind, _, where = text.partition("=")
    if kind not in _DEFAULTS:
        raise InvalidArgumentError(f"--logger {text}: the kinds are {', '.join(_DEFAULTS)}, as in jsonl=run.jsonl")
    return kind, where or _DEFAULTS[kind]


def _make(kind: str, where: str, config: Mapping[str, Any]) -> MetricLogger:
    from tvm_gnn_cost.loggers import JSONLLogger, MLflowLogger, TensorBoardLogger, WandbLogger

    if kind == "tensorboard":
        return TensorBoardLogger(where, config)
    if kind == "wandb":
        return WandbLogger(where, config=config)
    if kind == "mlflow":
        return MLflowLogger(where, config=config)
    return JSONLLogger(where, config)
