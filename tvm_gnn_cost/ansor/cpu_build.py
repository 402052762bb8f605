"""TVM's own verdict on CPU schedules: what can fail in a build, without what only takes its time.

`tvm.build` fails at schedules that it lowers, in three ways, each found here by the passes that decide it:

* `VectorizeLoop` meets a loop whose extent is no constant ("failed to vectorize loop").
* `StorageRewrite` lifts a buffer above a loop that its size depends on. Nothing notices before code generation
  ("variable has been used before definition").
* LLVM (22 among others) takes debug information of integers and pointers only, and `CodeGenLLVM` gives it some for
  every variable that is bound by `Let`. `CommonSubexprElimTIR` and `LowerIntrin` bind vectors and floats where an
  access is not linear ("location of #dbg_declare must be a pointer or int"). Whether this LLVM does so is tried once.

The third needs the unrolled program, in which common subexpressions are costly to find. So indices that are scalar
integers become variables first, as they can bind nothing but integers; floats that unrolling makes constants become
one of them, and so do stored values that compute neither vectors nor floats of indices. A Winograd convolution would
else take TVM more than a second.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

logger = logging.getLogger(__name__)


def builds(task: Any, state: Any) -> bool:
    """Whether TVM builds this StateObject for the task's CPU."""
    import tvm
    from tvm.driver.build_module import schedule_to_module

    try:
        schedule, tensors = task.compute_dag.apply_steps_from_state(state)
        function = schedule_to_module(schedule, tensors, "main", {})["main"]
        function = function.with_body(_with_constants(function.body))
        function = _until_unrolling()(tvm.IRModule({"main": function}))["main"]
        known = [*function.params, *(buffer.data for buffer in function.buffer_map.values())]
        if len(tvm.tir.analysis.undefined_vars(function.body, known)):
            return False
        if task.target.kind.name != "llvm" or takes_any_variable():
            return True
        unrolled = _unrolled(function.body)
        body = _without_scalar_indices(_without_plain_values(function.body, unrolled))
        if not _computes_vector_or_float(body, unrolled):
            return True
        reduced = function.with_body(body).with_attr("target", task.target)
        module = _after_unrolling()(tvm.IRModule({"main": reduced}))
        return not _binds_vector_or_float(module["main"].body)
    except Exception as error:  # whatever keeps TVM from lowering it keeps it from running
        logger.debug("a state cannot be lowered: %r", error)
        return False


@cache
def takes_any_variable() -> bool:
    """Whether LLVM builds a program that binds a variable to a float; tried once a process."""
    import tvm
    from tvm import te, tir

    variable = tir.Var("value", "float32")
    result = te.compute((8,), lambda i: tir.Let(variable, i.astype("float32") * 0.5, variable * variable))
    try:
        tvm.build(te.create_schedule(result.op), [result], "llvm")
    except tvm.TVMError:
        return False
    return True


def _until_unrolling() -> Any:
    """The passes of `CreatePassList` (`src/driver/driver_api.cc`) up to `UnrollLoop`, without those that leave what
    comes from `te` as it is."""
    import tvm
    from tvm.tir import transform

    return tvm.transform.Sequential(
        [
            transform.InjectPrefetch(),
            transform.StorageFlatten(64, False),
            transform.Simplify(),
            transform.InjectPermutedLayout(),
            transform.Simplify(),
            transform.InjectSoftwarePipeline(),
            transform.BF16ComputeLegalize(),
            transform.NarrowDataType(32),
            transform.Simplify(),
            transform.LoopPartition(),
            transform.VectorizeLoop(True),
            transform.InjectVirtualThread(),
            transform.InjectDoubleBuffer(),
            transform.StorageRewrite(),
            transform.HoistIfThenElse(),
        ]
    )


def _after_unrolling() -> Any:
    """The rest of these passes, and the one of the host's that binds variables."""
    import tvm
    from tvm.tir import transform

    return tvm.transform.Sequential(
        [
            transform.UnrollLoop(),
            transform.RenormalizeSplitPattern(),
            transform.Simplify(),
            transform.RemoveNoOp(),
            transform.RewriteUnsafeSelect(),
            transform.CommonSubexprElimTIR(),
            transform.LowerIntrin(),
        ]
    )


def _without_scalar_indices(body: Any) -> Any:
    """The program with a variable of its own for every index (or base of a vector of indices) of scalar integers."""
    from tvm import tir
    from tvm.tir.stmt_functor import ir_transform, post_order_visit

    def is_of_integers(expression: Any) -> bool:
        types: list[str] = []
        post_order_visit(expression, lambda node: types.append(node.dtype) if hasattr(node, "dtype") else None)
        return all(_is_scalar_integer(dtype) for dtype in types)

    def opaque(index: Any) -> Any:
        if isinstance(index, tir.Ramp):
            return tir.Ramp(opaque(index.base), index.stride, index.lanes)
        if isinstance(index, tir.Var | tir.IntImm) or not is_of_integers(index):
            return index
        return tir.Var("index", index.dtype)

    def replace(node: Any) -> Any:
        indices = [opaque(index) for index in node.indices]
        if isinstance(node, tir.BufferLoad):
            return tir.BufferLoad(node.buffer, indices)
        return tir.BufferStore(node.buffer, node.value, indices)

    return ir_transform(body, None, replace, ["tir.BufferLoad", "tir.BufferStore"])


_OPERATORS = (
    *("Add", "Sub", "Mul", "Div", "Mod", "FloorDiv", "FloorMod", "Min", "Max", "EQ", "NE", "LT", "LE", "GT", "GE"),
    *("And", "Or", "Not", "Select", "Cast", "Let", "LetStmt"),
)


def _with_constants(body: Any) -> Any:
    """The program with 1 for the floats that are selected by the variables of unrolled loops alone."""
    import tvm
    from tvm import tir
    from tvm.tir.stmt_functor import ir_transform

    unrolled = _unrolled(body)

    def replace(node: Any) -> Any:
        if not node.dtype.startswith("float") or "x" in node.dtype:
            return None
        alone = tir.Evaluate(node)
        reads: list[Any] = []
        if not all(variable in unrolled for variable in tvm.tir.analysis.undefined_vars(alone, [])):
            return None
        ir_transform(alone, reads.append, None, ["tir.ProducerLoad", "tir.BufferLoad", "tir.Call", "tir.Let"])
        return None if reads else tir.const(1, node.dtype)

    return ir_transform(body, replace, None, ["tir.Select"]) if unrolled else body


def _without_plain_values(body: Any, unrolled: frozenset[Any]) -> Any:
    """The program with 0 for what is stored where the remaining passes can bind nothing but scalar integers. The stores
    stay, since `UnrollLoop` counts them."""
    import tvm
    from tvm import tir
    from tvm.tir.stmt_functor import ir_transform

    def replace(store: Any) -> Any:
        if _computes_vector_or_float(store, unrolled):
            return None
        lanes = tvm.DataType(store.value.dtype).lanes
        zero = tir.const(0, store.value.dtype.split("x")[0])
        return tir.BufferStore(store.buffer, zero if lanes == 1 else tir.Broadcast(zero, lanes), store.indices)

    return ir_transform(body, None, replace, ["tir.BufferStore"])


def _unrolled(body: Any) -> frozenset[Any]:
    """The variables of loops that are unrolled away: what is computed of them alone becomes constants."""
    from tvm import tir
    from tvm.tir.stmt_functor import ir_transform

    found: list[Any] = []

    def look(loop: Any) -> None:
        if loop.kind == tir.ForKind.UNROLLED and isinstance(loop.extent, tir.IntImm):
            found.append(loop.loop_var)

    ir_transform(body, look, None, ["tir.For"])
    return frozenset(found)


def _computes_vector_or_float(statement: Any, unrolled: frozenset[Any]) -> bool:
    """Whether there is something in a statement that the remaining passes may bind to a variable, other than a scalar
    integer; of `unrolled` loops' variables they make constants."""
    from tvm import tir
    from tvm.tir.stmt_functor import ir_transform, post_order_visit

    found: list[Any] = []

    def look(node: Any) -> None:
        if found:
            return
        if isinstance(node, tir.Let | tir.LetStmt):
            if node.var.dtype != "handle" and not _is_scalar_integer(node.var.dtype):
                found.append(node)
        elif not _is_scalar_integer(node.dtype):
            parts: list[Any] = []
            post_order_visit(node, parts.append)
            if isinstance(node, tir.FloorDiv | tir.FloorMod) or not any(
                isinstance(part, tir.BufferLoad | tir.Call) for part in parts
            ):
                is_constant = all(part in unrolled for part in parts if isinstance(part, tir.Var))
                if "x" in node.dtype or not is_constant:
                    found.append(node)

    ir_transform(statement, None, look, [f"tir.{name}" for name in _OPERATORS])
    return bool(found)


def _binds_vector_or_float(body: Any) -> bool:
    from tvm.tir.stmt_functor import ir_transform

    found: list[str] = []

    def look(node: Any) -> None:
        found.append(node.var.dtype)

    ir_transform(body, look, None, ["tir.Let", "tir.LetStmt"])
    return not all(dtype == "handle" or _is_scalar_integer(dtype) for dtype in found)


def _is_scalar_integer(dtype: str) -> bool:
    return dtype == "bool" or (dtype.startswith(("int", "uint")) and "x" not in dtype)
