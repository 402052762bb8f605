"""What is asked of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.experiments import EXPERIMENTS
from tvm_gnn_cost.evaluation.experiments.curve import CURVE_COUNTS
from tvm_gnn_cost.evaluation.search_replay import ReplayOptions


@dataclass(frozen=True)
class EvaluationOptions:
    """What is asked for.

    Attributes:
        experiments: some of EXPERIMENTS.
        seeds: so many of each run, 0, 1, ...: of networks, of which records are learnt, of thinned pools.
        learnt: records of a task that are learnt before its others are ranked; None: those of `held_out.LEARNT`, or
            fewer where no pool is large enough.
        replay: how a search is replayed.
        curve: numbers of training workloads, besides all.
        jobs: processes.
    """

    experiments: tuple[str, ...] = tuple(EXPERIMENTS)
    seeds: int = 3
    learnt: tuple[int, ...] | None = None
    replay: ReplayOptions = field(default_factory=ReplayOptions)
    curve: tuple[int, ...] = CURVE_COUNTS
    jobs: int = 1

    def __post_init__(self) -> None:
        unknown = [name for name in self.experiments if name not in EXPERIMENTS]
        if unknown or not self.experiments:
            raise InvalidArgumentError(
                f"experiments are {', '.join(EXPERIMENTS)}; got {', '.join(unknown) or 'none of them'}"
            )
        if self.seeds < 1 or self.jobs < 1:
            raise InvalidArgumentError(f"at least one seed and one job are needed; got {self.seeds} and {self.jobs}")
        if self.learnt is not None and (not self.learnt or min(self.learnt) < 1):
            raise InvalidArgumentError(f"numbers of learnt records must be at least 1; got {self.learnt}")
