"""Workloads, the package's and the user's own, as what MetaSchedule tunes: a module, a target and a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.meta_schedule.api import normalized_module
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.system.find_tvm import require_tvm
from tvm_gnn_cost.system.machine import num_cores
from tvm_gnn_cost.workloads.own import find_workload
from tvm_gnn_cost.workloads.registry import Argument
from tvm_gnn_cost.workloads.targets import parse_target

if TYPE_CHECKING:
    from tvm import IRModule
    from tvm.target import Target

    from tvm_gnn_cost.meta_schedule.source import TIRSource
    from tvm_gnn_cost.workloads.tensors import Tensors


@dataclass(frozen=True, eq=False)
class TuningTask:
    """What is scheduled.

    Attributes:
        name: in tables, such as `matmul`.
        mod: an IRModule with the one function `main`.
        target: with the number of cores, for a CPU.
        workload_key: what is computed, as text; of a named workload the same as auto_scheduler's.
    """

    name: str
    mod: IRModule
    target: Target
    workload_key: str

    @cached_property
    def source(self) -> TIRSource:
        """How its candidates become stage graphs. Raises what `make_source` raises."""
        return make_source(self.mod, self.target)

    @property
    def key(self) -> str:
        """What tells tasks apart: the module by its structure, and the target."""
        return self.source.key

    @property
    def flop(self) -> float:
        """Floating-point operations, at least 1."""
        return max(1.0, self.source.flop)


def make_task(
    name: str, args: Sequence[Argument] = (), target: str | Target = "host", folder: Path | None = None
) -> TuningTask:
    """The task of a workload, the package's or the user's own.

    Args:
        name: a workload's name, see `workload_names`; or `FILE.py:FUNCTION`, which runs that file (see `find_own`).
        args: its arguments in order; for a configuration such as `C2D` the index of a shape.
        target: a target, its string, or "host" for this machine's CPU.
        folder: what FILE.py is relative to; None is the working directory.

    Raises WorkloadError for an unknown name or target, arguments that do not fit, or what a file does wrong.
    """
    made_for = with_cores(parse_target(target))
    workload = find_workload(name, args, folder)
    with made_for:  # some definitions ask for the target
        tensors = workload.tensors()
    return make_te_task(name, tensors, made_for, workload.key)


def make_te_task(name: str, tensors: Tensors, target: Target, workload_key: str) -> TuningTask:
    """The task of TE tensors, inputs and outputs. Raises WorkloadError where TVM makes no program of them."""
    from tvm import te

    try:
        module = normalized_module(te.create_prim_func(list(tensors)))
    except Exception as error:  # what is computed outside TVM's own expressions, for one
        raise WorkloadError(f"{name} cannot be written as a TIR program: {last_line(error)}") from error
    return TuningTask(name, module, target, workload_key)


def with_cores(target: Target) -> Target:
    """The target, with this machine's number of cores where it is a CPU and names none: MetaSchedule asks for one."""
    if target.kind.name != "llvm" or target.attrs.get("num-cores") is not None:
        return target
    exported = {str(name): value for name, value in target.export().items()}
    return require_tvm().target.Target(exported | {"num-cores": num_cores()})
