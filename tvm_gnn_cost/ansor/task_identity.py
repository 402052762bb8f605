"""Which of auto_scheduler's tasks are one task; see `records.task.TaskIdentity`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from tvm_gnn_cost.ansor.hardware_params import hardware_params_for
from tvm_gnn_cost.ansor.states.te_reader import address
from tvm_gnn_cost.records.task import TaskIdentity
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler, require_tvm
from tvm_gnn_cost.workloads import canonical_key

HARDWARE_PARAMS = (
    "num_cores",
    "vector_unit_bytes",
    "cache_line_bytes",
    "max_shared_memory_per_block",
    "max_local_memory_per_block",
    "max_threads_per_block",
    "max_vthread_extent",
    "warp_size",
)
"""The fields of auto_scheduler's HardwareParams, in the order of a record."""

_CPU = 1  # DLPack's device type


class TaskIdentities:
    """The identity of one task after another; what they have in common is worked out once.

    For a batch or a log: a record that was read from a log has a task object of its own.
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, TaskIdentity] = {}

    def of(self, task: Any) -> TaskIdentity:
        """The identity of a SearchTask, complete or as read from a log."""
        host = task.target.host or task.target_host
        raw = (
            str(task.workload_key),
            str(task.target),
            str(host or ""),
            _hardware(task.hardware_params),
            _layout(task),
        )
        if raw not in self._known:
            self._known[raw] = TaskIdentity(
                workload=canonical_key(raw[0]),
                target=_target_text(task.target, host),
                hardware=raw[3] or default_hardware(task.target),
                layout=default_layout(task.target) if raw[4] is None else raw[4],
            )
        return self._known[raw]


def identity_of(task: Any) -> TaskIdentity:
    """The identity of one SearchTask, complete or as read from a log."""
    return TaskIdentities().of(task)


def same_computation(one: Any, other: Any) -> bool:
    """Whether two tasks compute the same: a name may have been registered anew for something else."""
    first, second = one.compute_dag, other.compute_dag
    return address(first) == address(second) or first.workload_key() == second.workload_key()


def default_hardware(target: Any) -> tuple[int, ...]:
    """The hardware parameters of a task of which nothing else is said, in the order of HARDWARE_PARAMS.

    Empty where TVM would ask a device that is not there.
    """
    try:
        params = hardware_params_for(target) or require_auto_scheduler().HardwareParams(target=target)
    except Exception:  # no such device, or a kind of target for which TVM has none
        return ()
    return _hardware(params)


def default_layout(target: Any) -> int:
    """The layout option of a task of which nothing else is said."""
    return int(require_auto_scheduler().LayoutRewriteOption.get_target_default(target))


def _hardware(params: Any) -> tuple[int, ...]:
    return () if params is None else tuple(int(getattr(params, name)) for name in HARDWARE_PARAMS)


def _layout(task: Any) -> int | None:
    """None where a record of an early release, read by TVM itself, leaves the field undefined."""
    option = int(task.layout_rewrite_option)
    return option if option in (0, 1, 2) else None


def _target_text(target: Any, host: Any) -> str:
    """One spelling for a target: TVM sorts the options; features have no order; a host that TVM would take is left out.

    `tvm.build` takes a CPU target for its own host, and plain LLVM for the host of any other.
    """
    text = _one_spelling(target)
    if host is None:
        return text
    is_cpu = int(target.get_target_device_type()) == _CPU
    usual = text if is_cpu else _one_spelling(require_tvm().target.Target("llvm"))
    spelled = _one_spelling(host)
    return text if spelled == usual else f"{text} -host={spelled!r}"


def _one_spelling(target: Any) -> str:
    words = str(target).split()
    return " ".join(
        f"-mattr={','.join(sorted(word.removeprefix('-mattr=').split(',')))}" if word.startswith("-mattr=") else word
        for word in words
    )
