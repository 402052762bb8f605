"""A stage-graph neural cost model for TVM's auto_scheduler.

Importing this package loads neither TVM nor torch; its names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost._version import __version__
from tvm_gnn_cost.errors import (
    BusyError,
    CheckpointError,
    EvaluationError,
    InvalidArgumentError,
    MeasurementError,
    RecordError,
    TuningInterrupted,
    TVMGNNCostError,
    TVMNotAvailableError,
    WorkloadError,
)
from tvm_gnn_cost.system.triton_guard import guard_triton

if TYPE_CHECKING:
    from tvm_gnn_cost.ansor.cost_model import GNNCostModel
    from tvm_gnn_cost.ansor.modules import tune_module
    from tvm_gnn_cost.ansor.policies import make_search_policies

__all__ = [
    "BusyError",
    "CheckpointError",
    "EvaluationError",
    "GNNCostModel",
    "InvalidArgumentError",
    "MeasurementError",
    "RecordError",
    "TVMGNNCostError",
    "TVMNotAvailableError",
    "TuningInterrupted",
    "WorkloadError",
    "__version__",
    "make_search_policies",
    "tune_module",
]

_LAZY = {
    "GNNCostModel": "tvm_gnn_cost.ansor.cost_model",
    "make_search_policies": "tvm_gnn_cost.ansor.policies",
    "tune_module": "tvm_gnn_cost.ansor.modules",
}


guard_triton()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
