"""Triton is not loaded after TVM 0.19, since that ends the process.

TVM 0.19 makes the symbols of its LLVM visible to all that is loaded later. Triton, which comes with torch for CUDA, has
an LLVM of its own, finds those of the other one, and crashes while it is imported. Torch imports it without being asked
to compile anything: `torch._dynamo` does, which torch_geometric and the optimisers import. Where triton cannot be
imported torch goes on without it, so an ImportError is all that is needed. The other order works.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_TRITON = "triton"


class _Refusal(Loader):
    """Imports nothing."""

    def exec_module(self, module: ModuleType) -> None:
        raise ImportError(
            "triton is not imported after TVM 0.19: its LLVM and TVM's in one process end it. Where both are needed, "
            "import triton before tvm",
            name=_TRITON,
        )


class TritonGuard(MetaPathFinder):
    """Finds triton before anybody else does, where TVM 0.19 is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _TRITON or not _has_loaded_tvm_0_19():
            return None
        return ModuleSpec(_TRITON, _Refusal())


def guard_triton() -> None:
    """From now on; once is enough."""
    if not any(isinstance(finder, TritonGuard) for finder in sys.meta_path):
        sys.meta_path.insert(0, TritonGuard())


def _has_loaded_tvm_0_19() -> bool:
    """Later releases have no auto_scheduler, and keep their LLVM to themselves."""
    return "tvm" in sys.modules and importlib.util.find_spec("tvm.auto_scheduler") is not None
