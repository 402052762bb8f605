"""What a command line asks for: tasks with their weights, whichever scheduler schedules them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.system.files import parse_json, safe_name

if TYPE_CHECKING:
    from tvm_gnn_cost.networks import Network


@dataclass(frozen=True)
class TaskFacts:
    """What the commands say of a task.

    Attributes:
        name: in tables.
        flop: floating-point operations.
        target: as text.
        workload_key: what is computed, as text.
    """

    name: str
    flop: float
    target: str
    workload_key: str


@dataclass(frozen=True)
class Problem:
    """What is to be tuned.

    Attributes:
        label: for files and reports.
        tasks: as the scheduler has them.
        weights: how often each occurs.
        facts: of each task.
        network: that they are from.
    """

    label: str
    tasks: Sequence[Any]
    weights: Sequence[float]
    facts: Sequence[TaskFacts]
    network: Network | None = None

    @property
    def file_stem(self) -> str:
        return safe_name(self.label).strip("_")

    @property
    def names(self) -> list[str]:
        """Of the tasks."""
        return [fact.name or str(i) for i, fact in enumerate(self.facts)]

    @property
    def flops(self) -> float:
        return sum(fact.flop * weight for fact, weight in zip(self.facts, self.weights, strict=True))


def parse_argument(text: str) -> int | float | str | list[Any]:
    """An argument of a workload: a number where it is one, a list for JSON such as [1,2], else the text.

    Raises WorkloadError for what begins as a list and is none.
    """
    if text.startswith("["):
        try:
            parsed = parse_json(text)
        except ValueError as error:
            raise WorkloadError(f"argument {text!r} is no list in JSON, such as [1,2] or '[\"same\",1]'") from error
        return list(parsed)
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text  # a mode may be called "inf"


def workload_label(words: Sequence[str], workload_key: str) -> str:
    """A WORKLOAD in titles and names of files: as it was typed, without the path of a file."""
    from tvm_gnn_cost.workloads import describe

    return describe(workload_key) if ".py:" in words[0] else " ".join(words)
