"""The functions into which Relay divides a network, and the auto_scheduler workload of each."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.layout_rewrite import layout_free_inputs
from tvm_gnn_cost.ansor.relay_axes import tunable_axes
from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

if TYPE_CHECKING:
    from tvm.target import Target

_CONVERTER = "tvm_gnn_cost"
"""Under this name Relay finds what takes the tensors of a function (`relay.backend.tir_converter.*`)."""


@dataclass(frozen=True)
class FusedFunction:
    """One of a network's functions, fused by Relay.

    Attributes:
        name: of its operators, as in "fused_nn_dense_add", with a number where the network has several of that name.
        operators: of which it is made, as in "nn.dense + add".
        function: the primitive `relay.Function`.
        uses: how often the network calls it.
        workload_key: under which its tensors are registered with auto_scheduler; None where TVM makes no task of it.
        is_complex: whether it reduces, which is what makes it worth tuning.
        free_is_constant: whether every input whose layout a schedule may choose is a constant of the network.
        constants: names of those of its parameters that are constants of the network in its first call.
        problem: why it has no workload, where an operator of it cannot be scheduled; None otherwise.
    """

    name: str
    operators: str
    function: Any
    uses: int
    workload_key: str | None
    is_complex: bool
    free_is_constant: bool
    constants: tuple[str, ...]
    problem: str | None = None


def fused_functions(mod: Any, params: dict[str, Any], target: Target, network: str) -> list[FusedFunction]:
    """The functions that a network is made of when auto_scheduler compiles it, in order of their first call.

    Their workloads are registered with auto_scheduler, the axes named as in `relay_axes`.

    Args:
        mod: a Relay module; its `main` takes inputs and parameters.
        params: name -> `tvm.nd.NDArray`.
        target: for which it is compiled.
        network: what it is called in messages.

    Raises WorkloadError for a module that Relay cannot compile for the target.
    """
    functions: list[FusedFunction] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            functions.extend(_fused_functions(mod, params, target))
        except BaseException as error:
            errors.append(error)

    # In a thread of its own, as TVM does it: folding constants starts TVM's thread pool, which no later fork survives.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        reason = last_line(errors[0])
        raise WorkloadError(f"{network} cannot be compiled for {target}: {reason}") from errors[0]
    return functions


def _fused_functions(mod: Any, params: dict[str, Any], target: Target) -> list[FusedFunction]:
    from tvm import relay

    with tunable_axes():
        optimised = _optimised(mod, params, target)
        calls: dict[Any, list[Any]] = {}

        def visit(node: Any) -> None:
            if isinstance(node, relay.Call) and isinstance(node.op, relay.Function):
                calls.setdefault(_Structural(node.op), []).append(node)

        relay.analysis.post_order_visit(optimised["main"], visit)
        names: Counter[str] = Counter()
        described = []
        for same in calls.values():
            name = "_".join(["fused", *_operators(same[0].op)]).replace(".", "_")
            described.append(_describe(f"{name}_{names[name]}" if names[name] else name, same, target))
            names[name] += 1
        return described


def _optimised(mod: Any, params: dict[str, Any], target: Target) -> Any:
    """The module after the compiler's passes; without the one that asks operators for layouts where that fails."""
    from tvm import relay

    try:
        with _passes():
            return relay.optimize(mod, target, params)[0]
    except Exception:  # an operator without a schedule for the target, for one
        with _passes("AlterOpLayout"):
            return relay.optimize(mod, target, params)[0]


def _passes(*disabled: str) -> Any:
    """The passes of `auto_scheduler.extract_tasks` but for those disabled."""
    import tvm

    config = {"relay.backend.use_auto_scheduler": True, "relay.backend.tir_converter": _CONVERTER}
    return tvm.transform.PassContext(
        opt_level=3, config=config, disabled_pass=["AutoSchedulerLayoutRewrite", *disabled]
    )


def _describe(name: str, calls: list[Any], target: Target) -> FusedFunction:
    """One function, given all calls of it."""
    function = calls[0].op
    key, problem, is_complex, free_is_constant = None, None, False, False
    try:
        outputs = _outputs(function, target)
        key, is_complex = _workload(outputs)
        free = {tensor.op.name for tensor in layout_free_inputs(outputs)}
        free_is_constant = all(free <= set(_constants(call)) for call in calls)
    except Exception as error:  # what the operators' own definitions raise
        problem = last_line(error)
    return FusedFunction(
        name=name,
        operators=" + ".join(_operators(function)),
        function=function,
        uses=len(calls),
        workload_key=key,
        is_complex=is_complex,
        free_is_constant=free_is_constant,
        constants=_constants(calls[0]),
        problem=problem,
    )


def _workload(outputs: list[Any]) -> tuple[str | None, bool]:
    """The key under which the tensors are registered, None for such as TVM makes no task of; whether they reduce."""
    auto_scheduler = require_auto_scheduler()
    tensors, _, is_complex = auto_scheduler.relay_integration.traverse_to_get_io_tensors(outputs)
    if not tensors:
        return None, False
    key = auto_scheduler.ComputeDAG(tensors).workload_key()
    return str(auto_scheduler.workload_registry.register_workload_tensors(key, tensors)), bool(is_complex)


def _outputs(function: Any, target: Target) -> list[Any]:
    """The tensors that a primitive function computes."""
    import tvm

    taken: list[Any] = []

    def take(tensors: Any, constants: Any) -> Any:
        taken.extend(tensors)
        return tvm.tir.PrimFunc([], tvm.tir.Evaluate(0))

    tvm._ffi.register_func(f"relay.backend.tir_converter.{_CONVERTER}", take, override=True)
    try:
        with _passes():
            tvm.relay.backend.te_compiler.lower_to_primfunc(function, target)
    finally:
        tvm._ffi.registry.remove_global_func(f"relay.backend.tir_converter.{_CONVERTER}")
    computed = [tensor for tensor in taken if not isinstance(tensor.op, tvm.te.PlaceholderOp)]
    # An output that is an input is left out here, and copied when the function is compiled: another workload.
    return computed if len(computed) == len(_flat(function.ret_type)) else []


def _flat(relay_type: Any) -> list[Any]:
    """The tensor types in a type."""
    fields = getattr(relay_type, "fields", None)
    return [relay_type] if fields is None else [leaf for field in fields for leaf in _flat(field)]


def _constants(call: Any) -> tuple[str, ...]:
    """The parameters of a fused function, named as its tensors are, that are constants in this call of it."""
    from tvm import relay

    arguments = zip(call.op.params, call.args, strict=True)
    return tuple(str(param.name_hint) for param, argument in arguments if isinstance(argument, relay.Constant))


def _operators(function: Any) -> list[str]:
    from tvm import relay

    names: list[str] = []

    def visit(node: Any) -> None:
        if isinstance(node, relay.Call):
            names.append(str(node.op.name))

    relay.analysis.post_order_visit(function.body, visit)
    return names


class _Structural:
    """A Relay function as a dictionary's key: equal to every other that computes the same."""

    def __init__(self, function: Any) -> None:
        import tvm

        self._function = function
        self._hash = int(tvm.ir.structural_hash(function))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        import tvm

        return isinstance(other, _Structural) and bool(tvm.ir.structural_equal(self._function, other._function))
