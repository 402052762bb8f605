"""Running compiled networks: their outputs, their time, and the time of each of their functions."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import WorkloadError

if TYPE_CHECKING:
    from tvm.target import Target

_READING_MS = 50
_PROBE = """
import sys, tvm
from tvm.contrib import graph_executor
device = tvm.device(sys.argv[2])
graph_executor.GraphModule(tvm.runtime.load_module(sys.argv[1])["default"](device)).run()
device.sync()
"""

TOLERANCES = {"float64": 1e-6, "float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
"""How far an output may be from the untuned one, as a part of the largest value of that output; 0 for integers. Packed
and transformed (winograd) weights add in another order."""


def random_inputs(mod: Any, params: dict[str, Any], seed: int = 0) -> dict[str, NDArray[Any]]:
    """Values for every input of a Relay module that is no parameter: normal numbers, or 0 and 1 for integers.

    Raises WorkloadError for inputs that are no tensors, or whose shapes are not fixed.
    """
    import tvm

    random = np.random.default_rng(seed)
    values: dict[str, NDArray[Any]] = {}
    for var in tvm.relay.transform.InferType()(mod)["main"].params:
        if var.name_hint in params:
            continue
        kind = var.checked_type
        if not isinstance(kind, tvm.relay.TensorType) or any(not isinstance(d, tvm.tir.IntImm) for d in kind.shape):
            raise WorkloadError(f"the input {var.name_hint!r} is {kind}; only tensors of fixed shapes can be compiled")
        values[var.name_hint] = random_tensor(kind, random)
    return values


def random_tensor(kind: Any, random: np.random.Generator) -> NDArray[Any]:
    """Values for a Relay tensor type."""
    shape = tuple(int(extent) for extent in kind.shape)
    if "float" in kind.dtype:
        return random.standard_normal(shape).astype(kind.dtype)
    return random.integers(0, 2, shape).astype(kind.dtype)


def why_not_here(library: Any, target: Target) -> str | None:
    """Why a compiled network cannot be run on this machine, or None where it can.

    Code for another processor is tried in a process of its own, which it may end.
    """
    import tvm
    from tvm.target.codegen import llvm_get_system_cpu

    device = tvm.device(target.kind.name)
    if not device.exist:
        return f"this machine has no {target.kind.name} device"
    cpu = target.attrs.get("mcpu")
    if target.kind.name != "llvm" or not (cpu or target.attrs.get("mtriple")) or str(cpu) == llvm_get_system_cpu():
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "library.so")
        try:
            library.export_library(path)
            command = [sys.executable, "-c", _PROBE, path, target.kind.name]
            done = subprocess.run(command, capture_output=True, timeout=600, check=False)
        except Exception as error:  # the linker's, or a run without end
            return f"code for {target} does not run on this machine ({type(error).__name__})"
    return None if done.returncode == 0 else f"code for {target} does not run on this machine"


class Runner:
    """A compiled network on a device of this machine, with its inputs set.

    Args:
        library: what `relay.build` returns.
        device: a `tvm.runtime.Device`.
        inputs: name -> values.
    """

    def __init__(self, library: Any, device: Any, inputs: dict[str, NDArray[Any]]) -> None:
        from tvm.contrib import graph_executor

        self._library, self._device, self._inputs = library, device, inputs
        self._module = graph_executor.GraphModule(library["default"](device))
        self._single: Any = None
        _set_inputs(self._module, inputs, device)

    def outputs(self) -> list[NDArray[Any]]:
        """The network's outputs."""
        self._module.run()
        return [self._module.get_output(i).numpy() for i in range(self._module.get_num_outputs())]

    def reading(self) -> float:
        """Seconds of one run, averaged over a short time."""
        evaluator = self._module.module.time_evaluator("run", self._device, number=1, min_repeat_ms=_READING_MS)
        return float(evaluator().mean)

    def functions(self, only: Collection[str] | None = None) -> dict[str, list[float]]:
        """Seconds of each call of each function, or of these, timed one after another, by the function's name."""
        graph = self._library.get_graph_json()
        module = self._debugger(graph)
        calls: dict[str, list[float]] = {}
        for i, node in enumerate(json.loads(graph)["nodes"]):
            name = str(node.get("attrs", {}).get("func_name"))
            if node["op"] == "tvm_op" and name != "__nop" and (only is None or name in only):
                readings = module.run_individual_node(i, number=1, repeat=3, min_repeat_ms=5).results
                calls.setdefault(name, []).append(min(readings))
        return calls

    def _debugger(self, graph: str) -> Any:
        """TVM's executor of single functions, made at the first call; it has run once, so that they have inputs."""
        from tvm.contrib.debugger.debug_executor import GraphModuleDebug

        if self._single is None:
            with tempfile.TemporaryDirectory() as folder:
                create = self._library["debug_create"]
                self._single = GraphModuleDebug(create("default", self._device), [self._device], graph, folder)
            _set_inputs(self._single, self._inputs, self._device)
            self._single.module["run"]()
        return self._single


def _set_inputs(module: Any, inputs: dict[str, NDArray[Any]], device: Any) -> None:
    import tvm

    for name, value in inputs.items():
        module.set_input(name, tvm.nd.array(value, device))


def alternated(runners: Sequence[Runner], rounds: int = 7) -> list[float]:
    """Seconds of one run of each, the least of so many readings taken in turn: other work only slows a run down."""
    readings = [[runner.reading() for runner in runners] for _ in range(rounds)]
    return [min(column) for column in zip(*readings, strict=True)]


def difference(ours: NDArray[Any], expected: NDArray[Any]) -> float:
    """The largest difference, as a part of the largest expected value; inf where nan, inf, shape or type differ."""
    if ours.shape != expected.shape or ours.dtype != expected.dtype:
        return float("inf")
    if not expected.size:
        return 0.0
    a, b = ours.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return float("inf")
    if not finite.any():
        return 0.0
    largest = float(np.abs(a[finite] - b[finite]).max())
    return largest / max(float(np.abs(b[finite]).max()), 1e-30) if largest else 0.0
