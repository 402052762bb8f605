"""TVM's search, with schedules measured that it would not have chosen: seeds at its beginning, neighbours at its end.

1. Seeds: a first round begins with the best schedules that a database knows, fitted to the task (`seeding`).
2. Other tiles: from the second round on some of each are like the best schedules but for a register tile of which none
   was measured (`register_tile`), those that the model thinks most of. A search follows its model, and one that is
   wrong about a tile that nobody measured stays wrong.
3. Neighbours: from the third round on a part of each is for those of the best schedules (`neighbours`), as the model
   ranks them: all that differ in one choice, where the search makes one change after another at random.

The search then has them as measured schedules: it goes on from them, and does not measure them again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_gnn_cost.ansor.measurements import measured_latency
from tvm_gnn_cost.ansor.record_log import append_records
from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
from tvm_gnn_cost.ansor.schedules.fitting import Fit, Steps, fitting_states
from tvm_gnn_cost.ansor.schedules.neighbours import neighbours
from tvm_gnn_cost.ansor.schedules.register_tile import Tile, register_tile, with_other_tiles
from tvm_gnn_cost.ansor.schedules.seeding import SEEDS, Measure, find_seeds, one_by_one
from tvm_gnn_cost.ansor.states.hardware_of import hardware_of
from tvm_gnn_cost.ansor.states.reader import record_steps
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler, require_tvm

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.auto_scheduler.loop_state import StateObject

_SEEDS = 0.5
"""Of the first round, at most, where that is more than `SEEDS`."""
_NEIGHBOURS, _NEIGHBOURS_FROM = 0.125, 2
"""Of each round, and the rounds before: a model that has not learnt the task knows no last per cent."""
_OTHER_TILES, _OTHER_TILES_FROM = 0.1, 1
"""The same; `LOOKING_AROUND` has what they take from the schedules measured at random."""
LOOKING_AROUND = {"eps_greedy": 0.1}
"""Parameters of a search whose `Guidance` has `local_search`, unless the user says otherwise."""
_PARENTS = 3
_TILES_TRIED = 48
"""In a round, of which some are measured."""
_MOST_TRIED = 192
"""Neighbours that are looked at in a round; each takes some milliseconds to rebuild."""


@dataclass(frozen=True)
class Guidance:
    """What a search is given besides its model.

    Attributes:
        database: what it begins from; None: nothing.
        local_search: whether the neighbours of the best schedules are tried, and register tiles that were not.
        measure: measures what the search has not chosen. None: `one_by_one`, and what is measured in any round is added
            to the database.
    """

    database: ScheduleDatabase | None = None
    local_search: bool = True
    measure: Measure | None = None


def guided_policy(
    task: SearchTask, model: Any, guidance: Guidance, known: tuple[Sequence[Any], Sequence[Any]] = ((), ())
) -> Any:
    """A class of SketchPolicy that is guided; it is made as SketchPolicy is, for this task and model.

    `known` are the MeasureInputs and MeasureResults that the search goes on from: then it has had its seeds.
    """
    from tvm.auto_scheduler import _ffi_api
    from tvm.auto_scheduler.search_policy import PreloadMeasuredStates, SketchPolicy

    auto_scheduler = require_auto_scheduler()

    class GuidedPolicy(SketchPolicy):  # type: ignore[misc]
        """A SketchPolicy that measures more than it chooses itself."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.has_begun = bool(len(known[0]))
            self.memory = _Memory(task)
            self.memory.add(*known)
            self.rounds = 0

        def continue_search_one_round(self, num_measure: int, measurer: Any) -> tuple[list[Any], list[Any]]:
            chosen: list[Any] = []
            if guidance.database is not None and not self.has_begun:
                seeds = min(num_measure, max(SEEDS, int(_SEEDS * num_measure)))
                chosen = find_seeds(guidance.database, task, model, seeds)
            elif guidance.local_search and getattr(model, "is_warm", False):
                chosen = self._around_the_best(num_measure)
            self.has_begun = True
            self.rounds += 1
            inputs, results = self._measure(chosen, measurer)
            if len(inputs) < num_measure:
                more, measured = super().continue_search_one_round(num_measure - len(inputs), measurer)
                self.memory.add(more, measured)
                inputs, results = inputs + list(more), results + list(measured)
            if guidance.database is not None and guidance.measure is None:
                guidance.database.add(inputs, results)
            return inputs, results

        def _around_the_best(self, num_measure: int) -> list[StateObject]:
            """What a round measures besides what the search chooses; none twice."""
            chosen: list[StateObject] = []
            if self.rounds >= _NEIGHBOURS_FROM:
                chosen += self.memory.best_neighbours(model, max(1, int(_NEIGHBOURS * num_measure)))
            if self.rounds >= _OTHER_TILES_FROM:
                chosen += self.memory.best_of_other_tiles(model, max(1, int(_OTHER_TILES * num_measure)))
            return list({str(state): state for state in chosen}.values())

        def _measure(self, states: Sequence[Any], measurer: Any) -> tuple[list[Any], list[Any]]:
            """Measures states, and gives them to the search and to the model."""
            if not states:
                return [], []
            inputs = [auto_scheduler.MeasureInput(task, state) for state in states]
            results = list((guidance.measure or one_by_one)(inputs, measurer))
            inputs = inputs[: len(results)]
            with tempfile.TemporaryDirectory(prefix="tvm-gnn-cost-") as folder:
                log = Path(folder) / "measured.json"
                append_records(log, inputs, results)
                _ffi_api.SearchPolicyRunCallbacks(self, [PreloadMeasuredStates(str(log))])
            model.update(inputs, results)
            self.memory.add(inputs, results)
            return inputs, results

    return GuidedPolicy


class _Memory:
    """What was measured of a task: the steps of the best, and which schedules not to try again."""

    def __init__(self, task: SearchTask) -> None:
        self._task = task
        self._best: list[tuple[float, str, Steps]] = []  # seconds, the steps as text, the steps
        self._seen: set[str] = set()
        self._tiles: set[Tile] = set()
        self._generator = np.random.default_rng(0)
        self._around: dict[str, dict[str, StateObject]] = {}

    def add(self, inputs: Sequence[Any], results: Sequence[Any]) -> None:
        for inp, result in zip(inputs, results, strict=True):
            if len(inp.state.stages):  # one of a log has steps alone, and the search knows it
                self._seen.add(str(inp.state))
            steps = record_steps(self._task, inp.state)
            self._tiles.add(register_tile(steps))
            latency = measured_latency(result)
            if latency is not None and (len(self._best) < _PARENTS or latency < self._best[-1][0]):
                self._best = sorted([*self._best, (latency, json.dumps(steps), steps)])[:_PARENTS]

    def best_of_other_tiles(self, model: Any, count: int) -> list[StateObject]:
        """At most `count` like the best but for a register tile that was not measured, by the model's scores."""
        if not self._best:
            return []
        others = with_other_tiles(self._best[0][2], self._tiles, _TILES_TRIED, self._generator)
        states = list(fitting_states(self._task.compute_dag, ((steps, Fit.SIZES) for steps in others)).values())
        return self._best_of(model, states, count)

    def best_neighbours(self, model: Any, count: int) -> list[StateObject]:
        """At most `count` neighbours of the best schedules that were not measured, by the model's scores."""
        states: dict[str, StateObject] = {}
        for _, text, steps in self._best:
            for name, state in self._neighbours(text, steps).items():
                if name not in self._seen and len(states) < _MOST_TRIED:
                    states.setdefault(name, state)
        return self._best_of(model, list(states.values()), count)

    def _best_of(self, model: Any, states: Sequence[StateObject], count: int) -> list[StateObject]:
        if not states:
            return []
        scores = np.asarray(model.predict(self._task, require_tvm().runtime.convert(states)))
        order = np.argsort(-scores, kind="stable")[:count]
        return [states[i] for i in order if np.isfinite(scores[i])]

    def _neighbours(self, text: str, steps: Steps) -> dict[str, StateObject]:
        """Those of one schedule that fit, see `fitting_states`."""
        if text not in self._around:
            around = neighbours(steps, is_gpu=hardware_of(self._task).is_gpu)
            states = fitting_states(self._task.compute_dag, ((other, Fit.SIZES) for other in around), _MOST_TRIED)
            self._around = {kept: self._around[kept] for _, kept, _ in self._best if kept in self._around}
            self._around[text] = states
        return self._around[text]
