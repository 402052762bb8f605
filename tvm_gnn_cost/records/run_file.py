"""How a tuning run went, beside its log: `LOG.run.json` for `LOG.json`, `database.run.json` in a MetaSchedule database.

It is a `Comparison` of one run, written anew after each round, so that it can be looked at while the run goes on and is
there after a kill. A resumed run goes on in the same file.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.records.comparison import Comparison, Run
from tvm_gnn_cost.records.databases import RUN, RUN_SUFFIX
from tvm_gnn_cost.records.logs import log_stem
from tvm_gnn_cost.records.tuning_run import TuneResult
from tvm_gnn_cost.system.machine import timestamp

logger = logging.getLogger("tvm_gnn_cost")


def run_path(log: str | os.PathLike[str]) -> Path:
    """Where the run of a log is: beside it; of a database, in it."""
    path = Path(log)
    return path / RUN if path.is_dir() else path.with_name(log_stem(path) + RUN_SUFFIX)


def run_files(folder: Path) -> list[Path]:
    """The files of runs whose logs are in a folder."""
    return sorted([*folder.glob(f"*{RUN_SUFFIX}"), *folder.glob(f"*/{RUN}")])


def unfinished_runs(comparison: Comparison | None, folder: Path) -> Comparison:
    """A comparison with the runs of its folder that have not ended. Raises RecordError where there is neither."""
    for path in run_files(folder):
        told = Comparison.load(path)
        if comparison is None:
            comparison = replace(told, runs=())
        if told.workload != comparison.workload:
            raise RecordError(
                f"{folder} holds runs of {comparison.workload} and of {told.workload}, which cannot be compared: name "
                "the log of one"
            )
        for run in told.runs:
            if not comparison.has(run.model, run.seed):
                comparison = comparison.with_run(run)
    if comparison is None:
        raise RecordError(f"{folder} holds no run")
    return comparison


class RunFile:
    """The file of one tuning run. One that cannot be written is reported once, and the tuning goes on.

    Args:
        log: where the run's measurements go.
        head: what the run is of; without runs.
        model: the cost model's name.
        seed: of model and search.
        resume: whether it goes on from what is in the log: what an earlier file says of the same tasks stays.
    """

    def __init__(self, log: Path, head: Comparison, model: str, seed: int, *, resume: bool) -> None:
        self._log, self._head, self._model, self._seed = log, head, model, seed
        self._started = timestamp()
        self._earlier = self._find() if resume else None
        self._is_lost = False

    @property
    def path(self) -> Path:
        """Where it is."""
        return run_path(self._log)

    def write(self, result: TuneResult, *, finished: bool = False) -> Comparison:
        """Say how far the run is; returns what is in the file."""
        run = Run.from_result(self._model, self._seed, self._started, result, finished)
        earlier = self._earlier
        if earlier is not None and len(earlier.trials) <= result.resumed and len(earlier.weights) == len(run.weights):
            run = run.after(earlier)
        told = self._head.with_run(run)
        try:
            told.save(self.path)
        except RecordError as error:
            if not self._is_lost:
                logger.warning("%s; the tuning goes on without it", error)
            self._is_lost = True
        return told

    def _find(self) -> Run | None:
        """What an earlier run into the same log did."""
        if not self.path.is_file():
            return None
        try:
            found = Comparison.load(self.path)
        except RecordError as error:
            logger.warning("%s; it is made anew", error)
            return None
        same = (found.workload, found.tasks) == (self._head.workload, self._head.tasks)
        return found.runs[0] if same and found.runs else None
