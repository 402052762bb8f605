"""What an experiment is: what it plans, what it finds, and how its table is laid out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields

from tvm_gnn_cost.evaluation.calibration import Reliability
from tvm_gnn_cost.evaluation.head_to_head import HeadToHead
from tvm_gnn_cost.evaluation.held_out import HeldOut, Ranking
from tvm_gnn_cost.evaluation.outcomes import Outcomes
from tvm_gnn_cost.evaluation.planner import Planner
from tvm_gnn_cost.evaluation.runs import Run
from tvm_gnn_cost.evaluation.statistics import Samples, Statistic


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: its heading, in which {baseline} is the baseline's name, and digits after the point."""

    heading: str
    digits: int = 3


RANKING_METRICS = {
    "pairwise": Metric("pairwise"),
    "spearman": Metric("Spearman"),
    "top1": Metric("top-1"),
    "top5": Metric("top-5"),
}
"""Those of `add_ranking`."""


@dataclass(frozen=True)
class Findings:
    """What an experiment makes of the outcomes. Attributes but the first are of one experiment each, see `Summary`."""

    statistics: Sequence[Statistic]
    head_to_heads: Sequence[HeadToHead] = ()
    search_curves: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)
    learning_curves: Mapping[str, Mapping[int, Sequence[float]]] = field(default_factory=dict)
    reliability: Mapping[str, Sequence[Reliability]] = field(default_factory=dict)


class Experiment(ABC):
    """A question that is asked of all methods.

    Attributes:
        name: as on the command line.
        help: what it is, for the command line.
        title: of its table.
        metrics: those of its statistics.
        settings_are_columns: whether the table has a row for each method and a column for each setting; else a row for
            each setting and method, and a column for each metric.
    """

    name: str
    help: str
    title: str
    metrics: Mapping[str, Metric]
    settings_are_columns = False

    @abstractmethod
    def plan(self, planner: Planner) -> None:
        """Plans the runs that it needs of the planner's fold; called for each."""

    @abstractmethod
    def find(self, outcomes: Outcomes) -> Findings:
        """What the outcomes say; those of other experiments' runs may be among them. Called once, in the end."""


def add_ranking(samples: Samples, setting: str, run: Run, held_out: HeldOut) -> None:
    """How the run ranks the schedules, where enough of them were measured."""
    ranking = Ranking.of(held_out.scores, held_out.latency)
    if ranking is not None:
        for metric, value in zip(fields(ranking), astuple(ranking), strict=True):
            samples.add(setting, metric.name, run.method, run.seed, value)
