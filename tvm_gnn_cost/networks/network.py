"""What a network is, whoever made it: a Relay module, its parameters, its inputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.networks.inputs import InputSpec
from tvm_gnn_cost.networks.products import shared_weights


@dataclass(frozen=True)
class Network:
    """A Relay network with its parameters. All of its shapes are known.

    Attributes:
        name: what it is called in messages and reports.
        mod: the `tvm.IRModule`; its `main` takes the inputs and the parameters.
        params: name -> `tvm.nd.NDArray`.
        inputs: what it is run with, in order.
        source: where it came from, as plain data: the file and its digest, or the name and its options.
    """

    name: str
    mod: Any
    params: dict[str, Any]
    inputs: tuple[InputSpec, ...]
    source: dict[str, Any] = field(default_factory=dict)


def make_network(name: str, mod: Any, params: dict[str, Any], source: dict[str, Any] | None = None) -> Network:
    """A network from a Relay module and the parameters among its arguments.

    What depends on an input's values rather than on its shape is computed now where it is constant. Raises
    WorkloadError where types do not fit, and where a shape is still unknown then, or has an extent below one.
    """
    from tvm import relay

    try:
        mod = relay.transform.InferType()(_one_of_each(mod))
        if _dynamic(mod):
            mod = relay.transform.InferType()(relay.transform.DynamicToStatic()(mod))
        mod = shared_weights(mod)
    except Exception as error:  # Relay's type inference raises its own errors
        raise WorkloadError(f"{name}: its types do not fit together: {last_line(error)}") from error
    if dynamic := _dynamic(mod):
        raise WorkloadError(
            f"{name}: shapes depend on the values of its inputs ({', '.join(dynamic)}); auto_scheduler tunes networks "
            "whose shapes are all known"
        )
    if _has_empty_tensor(mod):
        raise WorkloadError(f"{name}: a tensor of it would be empty; its inputs are too small")
    main = mod["main"]
    bound = {str(name): value for name, value in params.items()}
    inputs = tuple(_input_spec(name, p) for p in main.params if p.name_hint not in bound)
    return Network(name, mod, bound, inputs, dict(source or {}))


def _one_of_each(mod: Any) -> Any:
    """The module with one argument for each name: TVM's front ends copy some, and a copy would never be set."""
    from tvm import relay

    main = mod["main"]
    first: dict[str, Any] = {}
    copies = {p: first[p.name_hint] for p in main.params if first.setdefault(p.name_hint, p) is not p}
    if not copies:
        return mod
    merged = relay.Function(list(first.values()), relay.bind(main.body, copies), attrs=main.attrs)
    mod.update_func(mod.get_global_var("main"), merged)
    return mod


def _input_spec(name: str, param: Any) -> InputSpec:
    from tvm import relay

    kind = param.checked_type
    if not isinstance(kind, relay.TensorType):
        raise WorkloadError(f"{name}: its input {param.name_hint!r} is no tensor, but {kind}")
    return InputSpec(param.name_hint, tuple(int(d) for d in kind.shape), str(kind.dtype))


def _tensor_types(kind: Any) -> Iterable[Any]:
    from tvm import relay

    if isinstance(kind, relay.TensorType):
        yield kind
    elif isinstance(kind, relay.TupleType):
        for field_type in kind.fields:
            yield from _tensor_types(field_type)


def _dynamic(mod: Any) -> list[str]:
    """The operators whose results have no fixed shape, each once; inputs by name."""
    from tvm import relay, tir

    found: dict[str, None] = {}

    def visit(node: Any) -> None:
        if not isinstance(node, relay.Call | relay.Var):
            return
        kind = node.checked_type if isinstance(node, relay.Call) else node.type_annotation
        if any(not isinstance(d, tir.IntImm) for tensor in _tensor_types(kind) for d in tensor.shape):
            name = node.name_hint if isinstance(node, relay.Var) else getattr(node.op, "name", "a function")
            found[name] = None

    relay.analysis.post_order_visit(mod["main"], visit)
    return list(found)


def _has_empty_tensor(mod: Any) -> bool:
    """Whether a tensor in the network has an extent below one, which Relay lets pass."""
    from tvm import relay

    extents: list[int] = []

    def visit(node: Any) -> None:
        if isinstance(node, relay.Call):
            extents.extend(int(extent) for tensor in _tensor_types(node.checked_type) for extent in tensor.shape)

    relay.analysis.post_order_visit(mod["main"], visit)
    return any(extent < 1 for extent in extents)
