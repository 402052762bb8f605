"""Metrics as lines of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.loggers.base import MetricLogger


class JSONLLogger(MetricLogger):
    """Appends a JSON object a step to a file, `{"step": 32, "best_latency_ms": 0.41}`, after one with the settings.

    Args:
        path: of the file.
        config: settings of the run, by name.

    Raises InvalidArgumentError where it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        try:
            self._file = open(path, "a", encoding="utf-8")
        except OSError as error:
            raise InvalidArgumentError(f"{path} cannot be written: {error.strerror or error}") from error
        if config:
            self._line({"config": dict(config)})

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        self._line({"step": step, **metrics})

    def end(self) -> None:
        self._file.close()

    def _line(self, content: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(content) + "\n")
        self._file.flush()
