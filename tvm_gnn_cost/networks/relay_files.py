"""TVM's own form of a Relay network: `NAME.json` of `tvm.ir.save_json(mod)`, and beside it `NAME.params` of
`tvm.relay.save_param_dict(params)` where not all weights are constants of the module."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.networks.inputs import DTYPES, DeclaredInput, InputSpec
from tvm_gnn_cost.networks.network import Network, make_network
from tvm_gnn_cost.system.find_tvm import require_tvm

PARAMS_SUFFIX = ".params"

_TRIAL = """
import sys, tvm
tvm.relay.transform.InferType()(tvm.ir.load_json(open(sys.argv[1], encoding="utf-8").read()))
"""


def read_relay(
    path: Path, source: dict[str, Any], resolve: Callable[[list[DeclaredInput]], tuple[InputSpec, ...]]
) -> Network:
    """A network from a Relay module in JSON. All arguments of `main` that have no parameter are its inputs.

    Args:
        path: the JSON file; the parameters are in the file of the same name that ends in .params.
        source: what the network says of its origin.
        resolve: gives the inputs their shapes.

    Raises WorkloadError for a damaged file, one that holds something else, parameters that do not fit.
    """
    tvm = require_tvm()
    _refuse_what_crashes(path)
    try:
        mod = tvm.ir.load_json(path.read_text(encoding="utf-8"))
    except Exception as error:  # TVMError of many kinds
        raise WorkloadError(f"{path} is damaged: {last_line(error)}") from error
    if isinstance(mod, tvm.relay.Function):
        mod = tvm.IRModule.from_expr(mod)
    if not isinstance(mod, tvm.IRModule) or "main" not in {v.name_hint for v in mod.get_global_vars()}:
        raise WorkloadError(f"{path} holds {type(mod).__name__}; a network is an IRModule with a function main")
    if not isinstance(mod["main"], tvm.relay.Function):
        raise WorkloadError(f"{path} holds a module whose main is no Relay function")
    params = _read_params(path.with_suffix(PARAMS_SUFFIX))
    arguments = {p.name_hint: p for p in mod["main"].params}
    if strange := sorted(set(params) - set(arguments)):
        raise WorkloadError(
            f"{path.with_suffix(PARAMS_SUFFIX)} does not belong to {path.name}: its main takes no {', '.join(strange)}"
        )
    inputs = resolve([_declare(path, p) for name, p in arguments.items() if name not in params])
    return make_network(path.name, _with_shapes(mod, {i.name: i for i in inputs}), params, source)


def _refuse_what_crashes(path: Path) -> None:
    """Read the file in a process of its own first: TVM aborts the one that meets a node that is not there."""
    command = [sys.executable, "-c", _TRIAL, str(path)]
    tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if tried.returncode < 0:
        raise WorkloadError(f"{path} is damaged: TVM crashes on it (signal {-tried.returncode})")


def _read_params(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        params: dict[str, Any] = dict(require_tvm().relay.load_param_dict(path.read_bytes()))
    except Exception as error:  # TVMError, OSError
        raise WorkloadError(f"{path} cannot be read: {last_line(error)}") from error
    return params


def _declare(path: Path, param: Any) -> DeclaredInput:
    from tvm import relay, tir

    kind = param.type_annotation
    if not isinstance(kind, relay.TensorType) or str(kind.dtype) not in DTYPES:
        raise WorkloadError(f"{path}: its input {param.name_hint!r} is no tensor of a known type")
    shape = tuple(int(d) if isinstance(d, tir.IntImm) else None for d in kind.shape)
    return DeclaredInput(param.name_hint, shape, str(kind.dtype))


def _with_shapes(mod: Any, inputs: dict[str, InputSpec]) -> Any:
    """The module with its inputs' free dimensions fixed."""
    from tvm import IRModule, relay

    main = mod["main"]
    fixed = {
        p: relay.var(p.name_hint, shape=inputs[p.name_hint].shape, dtype=inputs[p.name_hint].dtype)
        for p in main.params
        if p.name_hint in inputs
    }
    others = {v: f for v, f in mod.functions.items() if v.name_hint != "main"}
    function = relay.Function([fixed.get(p, p) for p in main.params], relay.bind(main.body, fixed), attrs=main.attrs)
    return IRModule({**others, mod.get_global_var("main"): function}, mod.type_definitions)
