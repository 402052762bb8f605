"""What is asked of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.experiments import EXPERIMENTS
from tvm_gnn_cost.evaluation.run_options import RunOptions


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(RunOptions):
    """What is asked for.

    Attributes:
        experiments: some of EXPERIMENTS.
        jobs: processes.
    """

    experiments: tuple[str, ...] = tuple(EXPERIMENTS)
    jobs: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = [name for name in self.experiments if name not in EXPERIMENTS]
        if unknown or not self.experiments:
            raise InvalidArgumentError(
                f"experiments are {', '.join(EXPERIMENTS)}; got {', '.join(unknown) or 'none of them'}"
            )
        if self.jobs < 1:
            raise InvalidArgumentError(f"at least one job is needed; got {self.jobs}")
