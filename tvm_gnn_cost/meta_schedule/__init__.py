"""MetaSchedule's wing: `GNNCostModel` for `ms.tune_tir`, `ms.relax_integration` and `ms.relay_integration`.

Importing it loads neither TVM nor torch; its names are imported when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvm_gnn_cost.meta_schedule.callbacks import measure_callbacks
    from tvm_gnn_cost.meta_schedule.cost_model import GNNCostModel

__all__ = ["GNNCostModel", "measure_callbacks"]

_LAZY = {
    "GNNCostModel": "tvm_gnn_cost.meta_schedule.cost_model",
    "measure_callbacks": "tvm_gnn_cost.meta_schedule.callbacks",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
