"""Search policies that share one cost model: what `TaskScheduler` makes for stock models by name, for any model."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_gnn_cost.ansor.history import History, distinct_tasks
from tvm_gnn_cost.ansor.record_log import append_records, read_records
from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
from tvm_gnn_cost.ansor.schedules.guided_policy import LOOKING_AROUND, Guidance, guided_policy
from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.measuring.gain import makes_promises
from tvm_gnn_cost.measuring.task_books import DistinctTasks
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

if TYPE_CHECKING:
    from tvm.auto_scheduler.search_policy import SearchCallback

    SearchCallbacks = Sequence[SearchCallback] | Sequence[Sequence[SearchCallback] | None]


def make_search_policies(
    tasks: Sequence[Any],
    model: Any,
    load_log_file: str | PathLike[str] | None = None,
    params: Mapping[str, Any] | None = None,
    seed: int | None = 0,
    verbose: int = 1,
    *,
    init_search_callbacks: SearchCallbacks | None = None,
    database: str | PathLike[str] | ScheduleDatabase | None = None,
    local_search: bool = True,
) -> list[Any]:
    """One `SketchPolicy` for each task, all with the same cost model, for `TaskScheduler.tune(search_policy=...)`.

    `TaskScheduler` ignores its own `load_log_file` for the model and the policies when it is given policies; pass the
    log here as well. A task that is in the list twice has one policy, in both places: it measures no schedule twice.

    Args:
        tasks: the SearchTasks.
        model: any cost model of auto_scheduler; `GNNCostModel` and `XGBModel` alike.
        load_log_file: a record log to resume from. The model learns all of it. A policy knows as measured the schedules
            of its own task: same workload, target, hardware parameters and layout option. Bad lines are counted,
            reported and left out.
        params: search parameters, see `SketchPolicy.DEFAULT_PARAMS`; not changed. Those that are not given are the
            model's own (`GNNCostModel.search_params`; with `local_search` it draws fewer at random), else TVM's.
        seed: of the search; each task gets its own, derived from it. None: random.
        verbose: TVM's verbosity, 0 for silent.
        init_search_callbacks: as `SketchPolicy` has them (`PreloadCustomSketchRule`, `PreloadMeasuredStates`): either
            callbacks for every task, or for each task in turn a sequence of its own (or None). They run in order, after
            the log is known.
        database: a folder of schedules (`ScheduleDatabase`), which is made where it is missing. A task of which
            `load_log_file` holds nothing begins with the fastest schedules that the database knows of it, and of tasks
            of the same structure, fitted to its shape: at most half of the first round. What the policies measure is
            added to it.
        local_search: with a model that is warm (`GNNCostModel`), an eighth of each round from the third on is for the
            neighbours of the best schedules: those that differ from one in a single choice.

    Raises:
        InvalidArgumentError: no tasks, a model that is no cost model, an unknown search parameter, a bad seed, or
            callbacks that are none or do not fit the tasks.
        RecordError: the log is missing or is no record log at all, or the database cannot be used.
    """
    _check(require_auto_scheduler(), tasks, model, params, seed)
    history = None
    if load_log_file is not None:
        distinct = distinct_tasks(tasks)
        history = History.of([tasks[i] for i in distinct.first], read_records(load_log_file))
        history.report(load_log_file)
        history.teach(model)
    if database is not None and not isinstance(database, ScheduleDatabase):
        database = ScheduleDatabase(database)
    return policies_of(
        tasks,
        model,
        history,
        params=params,
        seed=seed,
        verbose=verbose,
        init_search_callbacks=init_search_callbacks,
        guidance=Guidance(database, local_search),
    )


def policies_of(
    tasks: Sequence[Any],
    model: Any,
    history: History | None,
    *,
    params: Mapping[str, Any] | None,
    seed: int | None,
    verbose: int,
    init_search_callbacks: SearchCallbacks | None,
    guidance: Guidance,
) -> list[Any]:
    """What `make_search_policies` returns, from what is known of the distinct tasks; the model has learnt it before."""
    auto_scheduler = require_auto_scheduler()
    distinct = distinct_tasks(tasks)
    callbacks = _callbacks_of(tasks, distinct, init_search_callbacks)
    seeds: list[int | None] = [None] * len(tasks)
    if seed is not None:
        # SketchPolicy takes a seed of 0 for "random", so the seeds handed to it are positive
        seeds = [int(s) % (2**30 - 1) + 1 for s in np.random.SeedSequence(seed).generate_state(len(tasks))]
    defaults = getattr(model, "search_params", {})
    if guidance.local_search and makes_promises(model):
        defaults = {**defaults, **LOOKING_AROUND}
    policies = []
    with tempfile.TemporaryDirectory(prefix="tvm-gnn-cost-") as folder:
        for i, first in enumerate(distinct.first):
            known = []
            policy = auto_scheduler.SketchPolicy
            if guidance.database is not None or makes_promises(model):
                own = ((), ()) if history is None else (history.inputs[i], history.results[i])
                policy = guided_policy(tasks[first], model, guidance, own)
            if history is not None and history.inputs[i]:
                measured = Path(folder) / f"{i}.json"
                append_records(measured, history.inputs[i], history.results[i])
                known.append(auto_scheduler.PreloadMeasuredStates(str(measured)))
            # the callbacks run, and read the file, while the policy is made
            policies.append(
                policy(
                    tasks[first],
                    model,
                    # a dict for each, since SketchPolicy adds its defaults to it
                    params={**defaults, **(params or {})},
                    seed=seeds[first],
                    verbose=verbose,
                    init_search_callbacks=[*known, *callbacks[i]] or None,
                )
            )
    return [policies[place] for place in distinct.place]


def _callbacks_of(
    tasks: Sequence[Any], distinct: DistinctTasks, given: SearchCallbacks | None
) -> list[list[SearchCallback]]:
    """The callbacks of each distinct task. Raises InvalidArgumentError where they do not fit."""
    base = require_auto_scheduler().search_policy.SearchCallback
    if given is None:
        return [[] for _ in distinct.first]
    if isinstance(given, base) or not isinstance(given, Sequence):
        raise InvalidArgumentError(
            f"init_search_callbacks is {type(given).__name__}, not a sequence of SearchCallbacks"
        )
    shared = [entry for entry in given if isinstance(entry, base)]
    if len(shared) == len(given):
        return [shared for _ in distinct.first]
    wrong = next((i for i, e in enumerate(given) if not (e is None or _is_sequence_of(base, e))), None)
    if wrong is not None or shared:
        at = next(i for i, e in enumerate(given) if isinstance(e, base)) if wrong is None else wrong
        raise InvalidArgumentError(
            f"init_search_callbacks[{at}] is {type(given[at]).__name__}: either all are SearchCallbacks, for every "
            "task, or each is a sequence of them, for the task in its place"
        )
    if len(given) != len(tasks):
        raise InvalidArgumentError(f"init_search_callbacks holds {len(given)} sequences for {len(tasks)} tasks")
    each = [list(entry or ()) for entry in given]
    for position, place in enumerate(distinct.place):
        first = distinct.first[place]
        if each[position] and each[position] != each[first]:
            raise InvalidArgumentError(
                f"tasks[{first}] and tasks[{position}] are the same task, which is searched once, but their "
                "init_search_callbacks differ; give both the same"
            )
    return [each[first] for first in distinct.first]


def _is_sequence_of(base: type, entry: object) -> bool:
    return isinstance(entry, Sequence) and all(isinstance(one, base) for one in entry)


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
