"""Metrics in MLflow."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import InvalidArgumentError, last_line
from tvm_gnn_cost.loggers.base import MetricLogger, not_available

_URI = re.compile(r"[a-z][a-z0-9+.-]+:")
_LONGEST = 500  # characters of a parameter that every store takes


class MLflowLogger(MetricLogger):
    """Keeps metrics as a run of MLflow, and settings as its parameters.

    Args:
        store: a folder, or the URI of a tracking server or database. MLflow takes folders only where
            MLFLOW_ALLOW_FILE_STORE says so, which is set here for them.
        experiment: the experiment's name.
        config: settings of the run, by name.

    Raises LoggerNotAvailableError without the package mlflow, InvalidArgumentError for a store that it cannot use.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] = "mlruns",
        experiment: str = "tvm-gnn-cost",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise not_available("mlflow", "mlflow", error) from error
        uri = os.fspath(store)
        if not _URI.match(uri):
            uri = Path(uri).absolute().as_uri()
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            self._client = MlflowClient(uri)
            known = self._client.get_experiment_by_name(experiment)
            number = self._client.create_experiment(experiment) if known is None else known.experiment_id
            self._run = self._client.create_run(number).info.run_id
            for name, value in (config or {}).items():
                text = value if isinstance(value, str) else json.dumps(value)
                self._client.log_param(self._run, name, text[:_LONGEST])
        except MlflowException as error:
            raise InvalidArgumentError(f"MLflow cannot use {store}: {last_line(error)}") from error

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._client.log_metric(self._run, name, value, step=step)

    def end(self) -> None:
        self._client.set_terminated(self._run)
