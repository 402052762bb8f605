"""What the runs of an evaluation found, decoded and by their kind: what experiments make statistics of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tvm_gnn_cost.evaluation.held_out import HeldOut
from tvm_gnn_cost.evaluation.problems import Problem
from tvm_gnn_cost.evaluation.results import Values, decode
from tvm_gnn_cost.evaluation.runs import HELD_OUT, REPLAY, UNSEEN, Plan, Run


@dataclass(frozen=True)
class Outcomes:
    """What was found.

    Attributes:
        held_out: for each run, a `HeldOut` for each of its sizes.
        unseen: for each run, those of learning curves too.
        replays: for each run, "relative" and "records", see `runner.Executor`.
        problems: that runs refer to.
        methods: names, in their order.
        baseline: the one that others are compared with.
    """

    held_out: Sequence[tuple[Run, list[HeldOut]]]
    unseen: Sequence[tuple[Run, HeldOut]]
    replays: Sequence[tuple[Run, Values]]
    problems: Sequence[Problem]
    methods: Sequence[str]
    baseline: str

    @staticmethod
    def of(
        plan: Plan, values: Mapping[str, Values], problems: Sequence[Problem], methods: Sequence[str], baseline: str
    ) -> Outcomes:
        """Of a plan that was carried out; `values`: of each run, by its key."""
        runs = [(run, values[run.key]) for run in plan.runs]
        return Outcomes(
            held_out=[(run, [decode(v) for v in found["held_out"]]) for run, found in runs if run.kind == HELD_OUT],
            unseen=[(run, decode(found["held_out"][0])) for run, found in runs if run.kind == UNSEEN],
            replays=[(run, found) for run, found in runs if run.kind == REPLAY],
            problems=problems,
            methods=methods,
            baseline=baseline,
        )

    @property
    def schedulers(self) -> list[str]:
        """Those whose pools are tested, in the order in which they are met."""
        runs = [run for found in (self.held_out, self.unseen, self.replays) for run, _ in found]
        return list(dict.fromkeys(self.problems[run.problem].pool.scheduler for run in runs))

    def of_scheduler(self, scheduler: str) -> Outcomes:
        """Of its pools alone."""

        def own(run: Run) -> bool:
            return self.problems[run.problem].pool.scheduler == scheduler

        return replace(
            self,
            held_out=[(run, parts) for run, parts in self.held_out if own(run)],
            unseen=[(run, part) for run, part in self.unseen if own(run)],
            replays=[(run, values) for run, values in self.replays if own(run)],
        )
