"""What a scheduler's side gives the learner: the graphs of a task's candidates, and whether these can run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.graphs.built_graphs import BuiltGraphs
from tvm_gnn_cost.graphs.hardware import Hardware


class StageGraphSource(Protocol):
    """The candidates of one task as stage graphs. A scheduler's wing has one for each task that it meets."""

    @property
    def key(self) -> str:
        """Which task it is, for the learner's memory: the same in every process."""

    @property
    def flop(self) -> float:
        """Floating-point operations of one run, at least 1."""

    @property
    def hardware(self) -> Hardware:
        """What the task is compiled for."""

    def build(self, candidates: Sequence[Any]) -> BuiltGraphs:
        """Their graphs. Never raises because of a bad candidate: it has no graph, and the log says so once."""

    def can_run(
        self, candidates: Sequence[Any], built: BuiltGraphs, promise: NDArray[np.float64] | None = None
    ) -> NDArray[np.bool_]:
        """Bool (number of candidates,): whether the scheduler builds each for the target, within its limits.

        A candidate that has no graph may run all the same.

        Args:
            candidates: of the task.
            built: what `build` made of them.
            promise: (number of graphs,), how good each would be. Where it is given, what takes time to find out is
                found out of those alone that may be chosen, and the others count as running.
        """
