"""Stands between TVM's search and a cost model, so that the search ends, whatever becomes of the model.

`EvolutionarySearch` (`src/meta_schedule/search_strategy/evolutionary_search.cc`) takes scores below 0 and NaN for 0 and
draws the parents of a generation by their scores. Where all are 0 it draws the first candidate every time. An
exception ends `tune_tir` at once, and the contexts cannot be tuned again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.system.interrupts import passing_on_interrupts

logger = logging.getLogger(__name__)

PASSING_SCORE = 1e-6
"""What every candidate scores where nothing is known of any: each is as likely to be a parent as the others."""

_WHEN = "while the cost model was at work"


class CostModel(Protocol):
    """What MetaSchedule asks of a cost model."""

    def load(self, file_name: str) -> Any: ...
    def save(self, file_name: str) -> None: ...
    def update(self, context: Any, candidates: Sequence[Any], results: Sequence[Any]) -> None: ...
    def predict(self, context: Any, candidates: Sequence[Any]) -> NDArray[np.float64]: ...


class SearchGuard:
    """What C++ calls in place of the model. Ctrl-C is passed on to the user (see `TuningInterrupted`).

    Args:
        model: answers Python's own calls, which are not guarded.
    """

    def __init__(self, model: CostModel) -> None:
        self._model = model
        self._told: set[str] = set()

    def load(self, path: str) -> None:
        """See `CostModel.load`."""
        self._model.load(str(path))

    def save(self, path: str) -> None:
        """See `CostModel.save`."""
        self._model.save(str(path))

    def update(self, context: Any, candidates: Sequence[Any], results: Sequence[Any]) -> None:
        """What can be learnt is learnt; if the model fails, the measurements are lost to it, and the log says so."""
        with passing_on_interrupts(_WHEN):
            try:
                self._model.update(context, candidates, results)
            except KeyboardInterrupt:
                raise
            except Exception as error:
                self._tell("learn", f"the model cannot learn from {len(candidates)} measurements", error)

    def predict(self, context: Any, candidates: Sequence[Any]) -> NDArray[np.float64]:
        """Scores, float64 (len(candidates),), that the search can go on with: some are positive, none is NaN."""
        count = len(candidates)
        with passing_on_interrupts(_WHEN):
            try:
                scores = np.asarray(self._model.predict(context, candidates), dtype=np.float64)
            except KeyboardInterrupt:
                raise
            except Exception as error:
                self._tell("predict", f"the model cannot score {count} schedules, which pass as equals", error)
                return np.full(count, PASSING_SCORE)
        if count and not (scores > 0).any():
            self._tell("nothing", f"none of {count} schedules of {_name(context)} can run; they pass as equals")
            return np.full(count, PASSING_SCORE)
        return scores

    def describe(self) -> str:
        """How TVM prints the model."""
        return repr(self._model)

    def _tell(self, what: str, message: str, error: Exception | None = None) -> None:
        """In the log, loudly once for each kind of trouble."""
        level = logging.DEBUG if what in self._told else logging.WARNING if error is None else logging.ERROR
        self._told.add(what)
        if error is not None:
            message = f"{message}, and tuning goes on: {type(error).__name__}: {last_line(error)}"
        logger.log(level, "%s", message, exc_info=error)


def _name(context: Any) -> str:
    return f"task {getattr(context, 'task_name', None) or 'main'}"
