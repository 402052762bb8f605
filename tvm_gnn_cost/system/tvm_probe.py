"""Run in a child process (`python -m`): does MetaSchedule make a design space with the TVM that is installed?

A pair of packages that do not fit crashes here rather than in a user's process.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


def main() -> None:
    # The intrinsics of tensor cores and VNNI take ten seconds to parse, and no schedule of this program uses them.
    sys.modules["tvm.s_tir.tensor_intrin"] = ModuleType("tvm.s_tir.tensor_intrin")
    import tvm
    from tvm import te
    from tvm.s_tir import meta_schedule

    x: Any = te.placeholder((16, 16), name="x")
    r = te.reduce_axis((0, 16), name="r")
    y = te.compute((16, 16), lambda i, j: te.sum(x[i, r] * x[r, j], axis=r), name="y")
    module = tvm.IRModule({"main": te.create_prim_func([x, y]).with_attr("global_symbol", "main")})
    context = meta_schedule.TuneContext(
        mod=module,
        target=tvm.target.Target({"kind": "llvm", "num-cores": 2}),
        space_generator="post-order-apply",
        search_strategy="evolutionary",
        num_threads=1,
    )
    assert context.generate_design_space(), "MetaSchedule finds no schedule of a matrix product"


if __name__ == "__main__":
    main()
