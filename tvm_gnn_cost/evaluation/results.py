"""Finished runs of an evaluation on disk: one JSON object a line, appended as soon as it is known."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import EvaluationError
from tvm_gnn_cost.evaluation.held_out import HeldOut
from tvm_gnn_cost.system.files import parse_json

logger = logging.getLogger(__name__)

Values = Mapping[str, Any]


class ResultsFile:
    """Results by key.

    A line that was cut off when the program was killed is dropped, damaged ones are reported in the log and left out:
    both are computed again.

    Attributes:
        path: of the file; it and its folder are made when needed.
        values: what is known.

    Raises EvaluationError where it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, Values] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                self._read()
        except OSError as error:
            raise EvaluationError(f"results {path} cannot be read: {error.strerror or error}") from error

    def add(self, key: str, about: Mapping[str, Any], values: Values) -> None:
        """Appends what a run found. `about` says for a reader which run it was."""
        line = json.dumps({"key": key, **about, "values": values}, allow_nan=False)
        try:
            with open(self.path, "a", encoding="utf-8") as out:
                out.write(line + "\n")
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise EvaluationError(f"results {self.path} cannot be written: {error.strerror or error}") from error
        self.values[key] = values

    def _read(self) -> None:
        data = self.path.read_bytes()
        complete = data.rfind(b"\n") + 1
        if complete < len(data):
            os.truncate(self.path, complete)
        for number, line in enumerate(data[:complete].splitlines(), start=1):
            try:
                row = parse_json(line)
                self.values[row["key"]] = row["values"]
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("%s, line %d is damaged (%r) and is left out", self.path, number, error)


def encode(held_out: HeldOut) -> dict[str, Any]:
    """As JSON values; what is not finite becomes null."""
    return {
        "learnt": held_out.learnt,
        "best": _number(held_out.best),
        "scores": _numbers(held_out.scores),
        "predicted": _numbers(held_out.predicted),
        "latency": _numbers(held_out.latency),
    }


def decode(values: Values) -> HeldOut:
    """What `encode` was given, to nine digits. Raises EvaluationError for anything else."""
    try:
        return HeldOut(
            int(values["learnt"]),
            math.inf if values["best"] is None else float(values["best"]),
            _array(values["scores"], math.nan),
            _array(values["predicted"], math.nan),
            _array(values["latency"], math.inf),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EvaluationError(f"a result is damaged ({error!r}): delete results.jsonl to compute all again") from error


def _number(value: float) -> float | None:
    return float(f"{value:.9g}") if math.isfinite(value) else None


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _array(values: list[float | None], missing: float) -> NDArray[np.float64]:
    return np.array([missing if value is None else value for value in values], dtype=np.float64)
