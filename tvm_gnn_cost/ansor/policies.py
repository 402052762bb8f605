"""Search policies that share one cost model: what `TaskScheduler` makes for stock models by name, for any model."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from tvm_gnn_cost.ansor.record_log import append_records, read_records
from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler


def make_search_policies(
    tasks: Sequence[Any],
    model: Any,
    load_log_file: str | PathLike[str] | None = None,
    params: Mapping[str, Any] | None = None,
    seed: int | None = 0,
    verbose: int = 1,
) -> list[Any]:
    """One `SketchPolicy` for each task, all with the same cost model, for `TaskScheduler.tune(search_policy=...)`.

    `TaskScheduler` ignores its own `load_log_file` for the model and the policies when it is given policies; pass the
    log here as well.

    Args:
        tasks: the SearchTasks.
        model: any cost model of auto_scheduler; `GNNCostModel` and `XGBModel` alike.
        load_log_file: a record log to resume from: the model learns it, and the policies know its schedules as
            measured. Bad lines are counted, reported and left out.
        params: search parameters, see `SketchPolicy.DEFAULT_PARAMS`; not changed. Those that are not given are the
            model's own (`GNNCostModel.search_params`), else TVM's.
        seed: of the search; each task gets its own, derived from it. None: random.
        verbose: TVM's verbosity, 0 for silent.

    Raises:
        InvalidArgumentError: no tasks, a model that is no cost model, an unknown search parameter, or a bad seed.
        RecordError: the log is missing or is no record log at all.
    """
    auto_scheduler = require_auto_scheduler()
    _check(auto_scheduler, tasks, model, params, seed)
    seeds: list[int | None] = [None] * len(tasks)
    if seed is not None:
        # SketchPolicy takes a seed of 0 for "random", so the seeds handed to it are positive
        seeds = [int(s) % (2**30 - 1) + 1 for s in np.random.SeedSequence(seed).generate_state(len(tasks))]
    log = None
    if load_log_file is not None:
        log = read_records(load_log_file)
        model.update(log.inputs, log.results)
    with tempfile.TemporaryDirectory(prefix="tvm-gnn-cost-") as folder:
        callbacks = None
        if log is not None and len(log):
            clean = Path(folder) / Path(os.fspath(load_log_file or "")).name.removesuffix(".gz")
            append_records(clean, log.inputs, log.results)  # usable ones only: TVM's own reader fails at a bad line
            callbacks = [auto_scheduler.PreloadMeasuredStates(str(clean))]
        # the callbacks run, and read the log, while the policies are made
        return [
            auto_scheduler.SketchPolicy(
                task,
                model,
                # a dict for each, since SketchPolicy adds its defaults to it
                params={**getattr(model, "search_params", {}), **(params or {})},
                seed=policy_seed,
                verbose=verbose,
                init_search_callbacks=callbacks,
            )
            for task, policy_seed in zip(tasks, seeds, strict=True)
        ]


def _check(
    auto_scheduler: Any, tasks: Sequence[Any], model: Any, params: Mapping[str, Any] | None, seed: int | None
) -> None:
    if not tasks:
        raise InvalidArgumentError("there are no tasks to make search policies for")
    for i, task in enumerate(tasks):
        if not isinstance(task, auto_scheduler.SearchTask):
            raise InvalidArgumentError(f"tasks[{i}] is {type(task).__name__}, not a SearchTask")
    if not isinstance(model, auto_scheduler.cost_model.cost_model.CostModel):
        raise InvalidArgumentError(f"model is {type(model).__name__}, not a cost model of auto_scheduler")
    known = auto_scheduler.SketchPolicy.DEFAULT_PARAMS
    for name in params or {}:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"
            raise InvalidArgumentError(f"unknown search parameter {name!r}{hint}")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise InvalidArgumentError(f"seed must be an int >= 0 or None, got {seed!r}")
