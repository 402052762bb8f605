"""Metrics in Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tvm_gnn_cost.loggers.base import MetricLogger, not_available


class WandbLogger(MetricLogger):
    """Keeps metrics as a run of Weights & Biases.

    Offline unless the environment's WANDB_MODE says otherwise, as nothing in this package goes to the network unasked:
    `wandb sync FOLDER/wandb/offline-run-*` uploads it.

    Args:
        project: its project.
        folder: where it keeps its files, in `wandb/`.
        config: settings of the run, by name.

    Raises LoggerNotAvailableError without the package wandb.
    """

    def __init__(
        self, project: str, folder: str | os.PathLike[str] = ".", config: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        try:
            import wandb
        except ImportError as error:
            raise not_available("wandb", "wandb", error) from error
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=project,
            dir=os.fspath(folder),
            config=dict(config or {}),
            mode=mode,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def end(self) -> None:
        self._run.finish()
