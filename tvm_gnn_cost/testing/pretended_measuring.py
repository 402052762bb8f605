"""A builder and a runner of MetaSchedule that build and run nothing: a search as it is, but in no time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tvm_gnn_cost.meta_schedule.api import derived_object, ms

FAILED_BUILD = "pretended: cannot be built"
FAILED_RUN = "pretended: cannot be run"

Answer = Callable[[int], "Sequence[float] | str | None"]
"""From the number of a measurement to its seconds, to FAILED_BUILD or FAILED_RUN, or to None: no time and no error."""


@dataclass(frozen=True)
class PretendedMeasuring:
    """What a search takes for a builder and a runner."""

    builder: Any
    runner: Any


def pretended_measuring(answer: Answer) -> PretendedMeasuring:
    """Measures by saying so."""
    given: list[Sequence[float] | str | None] = []

    @derived_object
    class Builder(ms.builder.PyBuilder):  # type: ignore[misc]
        def build(self, build_inputs: Sequence[Any]) -> list[Any]:
            results = []
            for _ in build_inputs:
                said = answer(len(given))
                given.append(said)
                failed = said == FAILED_BUILD
                artifact = None if failed else str(Path(tempfile.mkdtemp()) / f"{len(given) - 1}.tar")
                results.append(ms.builder.BuilderResult(artifact, FAILED_BUILD if failed else None))
            return results

    @derived_object
    class Runner(ms.runner.PyRunner):  # type: ignore[misc]
        def run(self, runner_inputs: Sequence[Any]) -> list[Any]:
            return [_future(given[int(Path(str(inputs.artifact_path)).stem)]) for inputs in runner_inputs]

    return PretendedMeasuring(Builder(), Runner())


def run_result(said: Sequence[float] | str | None) -> Any:
    """The RunnerResult of seconds, or of an error."""
    if isinstance(said, str):
        return ms.runner.RunnerResult(None, said)
    return ms.runner.RunnerResult(None if said is None else [float(s) for s in said], None)


def run_results(costs: ArrayLike) -> list[Any]:
    """RunnerResults of one reading each, in seconds."""
    return [run_result([cost]) for cost in np.asarray(costs, dtype=np.float64)]


def _future(said: Sequence[float] | str | None) -> Any:
    return ms.runner.RunnerFuture(lambda: True, lambda: run_result(said))
