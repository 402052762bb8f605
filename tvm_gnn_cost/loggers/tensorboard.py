"""Metrics in TensorBoard's event files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from tvm_gnn_cost.loggers.base import MetricLogger, not_available


class TensorBoardLogger(MetricLogger):
    """Writes scalars for `tensorboard --logdir FOLDER`, and the settings as text.

    Args:
        folder: of the event files.
        config: settings of the run, by name.

    Raises LoggerNotAvailableError without the package tensorboard.
    """

    def __init__(self, folder: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise not_available("tensorboard", "tensorboard", error) from error
        self._writer = SummaryWriter(os.fspath(folder))  # type: ignore[no-untyped-call]
        if config:
            self._writer.add_text("config", f"```\n{json.dumps(dict(config), indent=1)}\n```")  # type: ignore[no-untyped-call]

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call]
        self._writer.flush()  # type: ignore[no-untyped-call]

    def end(self) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]
