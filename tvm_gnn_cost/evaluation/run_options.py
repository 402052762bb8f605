"""What decides the runs of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.search_replay import ReplayOptions


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What decides the runs.

    Attributes:
        seeds: so many of each run, 0, 1, ...: of networks, of which records are learnt, of thinned pools.
        learnt: records of a task that are learnt before its others are ranked; None: those of `held_out.LEARNT`, or
            fewer where no pool is large enough.
        replay: how a search is replayed.
        curve: numbers of training workloads of a learning curve, besides all.
    """

    seeds: int = 3
    learnt: tuple[int, ...] | None = None
    replay: ReplayOptions = field(default_factory=ReplayOptions)
    curve: tuple[int, ...] = (10, 20, 40, 80)

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InvalidArgumentError(f"at least one seed is needed; got {self.seeds}")
        if self.learnt is not None and (not self.learnt or min(self.learnt) < 1):
            raise InvalidArgumentError(f"numbers of learnt records must be at least 1; got {self.learnt}")
        if any(number < 1 for number in self.curve):
            raise InvalidArgumentError(f"numbers of training workloads must be at least 1; got {self.curve}")
