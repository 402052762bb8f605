"""What tells tasks apart, and what is known of one besides its records."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tvm_gnn_cost.system.files import parse_json

ANSOR, META_SCHEDULE = "ansor", "metaschedule"
"""The schedulers whose records there are, as pools and the command line name them."""


@dataclass(frozen=True)
class TaskIdentity:
    """What tells tasks apart: two with the same identity are one task, whose measurements can be compared.

    Attributes:
        workload: what is computed; default arguments filled in.
        target: what it is compiled for, host included, in one spelling.
        hardware: the limits that the search keeps to, as the scheduler counts them.
        layout: how the scheduler may change the layouts of inputs; it changes the programs.
    """

    workload: str
    target: str
    hardware: tuple[int, ...]
    layout: int

    @property
    def key(self) -> str:
        """The identity as JSON: the name of the task in the learner, in pools and in checkpoints."""
        return json.dumps([self.workload, self.target, list(self.hardware), self.layout])


def task_workload(key: str) -> str:
    """The workload of a task's key, of this release or of an earlier one.

    MetaSchedule knows a task by a digest alone, where nobody has said what its module is called: then that digest.
    """
    try:
        parts = parse_json(key)
    except ValueError:
        return key
    return str(parts[0]) if isinstance(parts, list) and parts else key


def former_key(key: str) -> str | None:
    """The key that earlier releases had for the task: workload and target alone. None for a key of another form."""
    try:
        parts = parse_json(key)
    except ValueError:
        return None
    is_ours = isinstance(parts, list) and len(parts) == 4 and isinstance(parts[1], str)
    return json.dumps(parts[:2]) if is_ours else None


@dataclass(frozen=True)
class StoredTask:
    """What is known of a task besides its records.

    Attributes:
        key: what tells tasks apart, see `TaskIdentity`.
        flop: floating-point operations.
        workload: TVM's workload key: what is computed, without the target. The same of both schedulers, where it has a
            name.
        operator: the workload without its shape.
        target: TVM's target string.
        is_gpu: whether the target is a GPU.
        scheduler: who made the schedules, `ANSOR` or `META_SCHEDULE`.
    """

    key: str
    flop: float
    workload: str
    operator: str
    target: str
    is_gpu: bool
    scheduler: str = ANSOR
