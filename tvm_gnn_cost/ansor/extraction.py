"""Tasks from a Relay module, as `auto_scheduler.extract_tasks` finds them, without its habit of all or nothing.

TVM's function (`tvm/auto_scheduler/relay_integration.py`) compiles the module and notes what it schedules. One operator
that cannot be scheduled ends it: with an error and no tasks, or, where the error is not TVM's own, in a thread of its
own and with those tasks alone that came before. Here the module is compiled as a whole first; where that fails, each of
its fused functions is compiled alone.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

if TYPE_CHECKING:
    from tvm.auto_scheduler import HardwareParams, SearchTask
    from tvm.target import Target


@dataclass(frozen=True)
class Extraction:
    """What a module holds.

    Attributes:
        tasks, weights: tuning tasks, and how often each occurs.
        failed: operators that cannot be scheduled -> why.
    """

    tasks: tuple[SearchTask, ...]
    weights: tuple[int, ...]
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class _Found:
    """What compiling has met: weights and function names by workload key, names of special inputs."""

    weights: Counter[str] = field(default_factory=Counter)
    names: dict[str, set[str]] = field(default_factory=dict)
    inputs: dict[str, list[str]] = field(default_factory=dict)

    def add(self, environment: Any, times: int = 1) -> None:
        for key, (weight, names) in environment.wkl_key_to_weight.items():
            self.weights[key] += int(weight) * times
            self.names.setdefault(key, set()).update(names)
        self.inputs.update(environment.wkl_key_to_input_names)


def extract(mod: Any, params: dict[str, Any], target: Target, hardware_params: HardwareParams | None) -> Extraction:
    """The tasks of a Relay module for a target, registered with auto_scheduler. Raises nothing of TVM's."""
    found, failed = _Found(), {}
    environment, error = _compile(mod, params, target)
    if error is None:
        found.add(environment)
    else:
        failed = _extract_one_by_one(mod, params, target, found) or {"the network as a whole": last_line(error)}
    tasks, weights = [], []
    for key, weight in found.weights.items():
        try:
            tasks.append(_task(key, found, target, hardware_params))
            weights.append(weight)
        except Exception as refused:  # TVM raises many kinds of error
            failed[",".join(sorted(found.names[key]))] = last_line(refused)
    return Extraction(tuple(tasks), tuple(weights), failed)


def _extract_one_by_one(mod: Any, params: dict[str, Any], target: Target, found: _Found) -> dict[str, str]:
    """Compile each fused function of a module alone; the operators of those that fail -> why."""
    failed: dict[str, str] = {}
    try:
        functions = _fused_functions(mod, params, target)
    except Exception as error:  # a pass over the whole module fails
        return {"the network as a whole": last_line(error)}
    for function, times in functions:
        environment, refused = _compile(function, {}, target)
        if refused is None:
            found.add(environment, times)
        else:
            failed[_operators(function)] = last_line(refused)
    return failed


def _compile(mod: Any, params: dict[str, Any], target: Target) -> tuple[Any, Exception | None]:
    """Compile a module while auto_scheduler notes what it schedules: its notes, and what went wrong."""
    require_auto_scheduler()
    from tvm import relay
    from tvm.auto_scheduler.dispatcher import DispatchContext
    from tvm.auto_scheduler.relay_integration import TracingEnvironment, TracingMode

    environment = TracingEnvironment(TracingMode.EXTRACT_COMPLEX_TASK_ONLY)
    errors: list[Exception] = []

    def compile_it() -> None:
        try:
            with _extraction_passes():
                compiler = relay.vm.VMCompiler()
                if params:
                    compiler.set_params(params)
                compiler.lower(mod, target)
        except Exception as error:  # TVMError, and whatever an operator's Python code raises
            errors.append(error)

    context = DispatchContext.current
    verbose, context.verbose = context.verbose, 0
    try:
        with environment:
            # as TVM does: its thread pool and Python's processes do not go together in one thread
            thread = threading.Thread(target=compile_it)
            thread.start()
            thread.join()
    finally:
        context.verbose = verbose
    return environment, errors[0] if errors else None


@contextmanager
def _extraction_passes(*disabled: str) -> Iterator[None]:
    """The passes of `extract_tasks` but for those disabled, quiet about AutoTVM. Those of one thread alone."""
    from tvm import autotvm, transform

    silent, autotvm.GLOBAL_SCOPE.silent = autotvm.GLOBAL_SCOPE.silent, True
    strategy = logging.getLogger("strategy")  # warns of operators for which AutoTVM has no template
    level = strategy.level
    strategy.setLevel(logging.ERROR)
    context = transform.PassContext(
        opt_level=3,
        config={"relay.backend.use_auto_scheduler": True},
        disabled_pass={"AutoSchedulerLayoutRewrite", *disabled},
    )
    try:
        with context:
            yield
    finally:
        autotvm.GLOBAL_SCOPE.silent = silent
        strategy.setLevel(level)


def _fused_functions(mod: Any, params: dict[str, Any], target: Target) -> list[tuple[Any, int]]:
    """The functions that the compiler makes of a module, as modules, and how often each is there."""
    import tvm
    from tvm import relay

    optimised = _optimised(mod, params, target)
    counts: Counter[Any] = Counter()
    functions: dict[Any, Any] = {}

    def visit(node: Any) -> None:
        if isinstance(node, relay.Call) and isinstance(node.op, relay.Function):
            key = tvm.ir.structural_hash(node.op)
            functions.setdefault(key, node.op)
            counts[key] += 1

    relay.analysis.post_order_visit(optimised["main"], visit)
    modules = []
    for key, function in functions.items():
        arguments = [relay.var(f"p{i}", type_annotation=p.checked_type) for i, p in enumerate(function.params)]
        whole = relay.Function(arguments, relay.Call(function, arguments))
        modules.append((relay.transform.InferType()(tvm.IRModule.from_expr(whole)), counts[key]))
    return modules


def _optimised(mod: Any, params: dict[str, Any], target: Target) -> Any:
    """The module after the compiler's passes; without the one that asks operators for layouts where that fails."""
    from tvm import relay

    try:
        with _extraction_passes():
            return relay.optimize(mod, target=target, params=params)[0]
    except Exception:  # an operator without a schedule for the target, for one
        with _extraction_passes("AlterOpLayout"):
            return relay.optimize(mod, target=target, params=params)[0]


def _operators(mod: Any) -> str:
    """The operators in a module, as in "nn.conv2d + add"."""
    from tvm import relay

    names: dict[str, None] = {}

    def visit(node: Any) -> None:
        if isinstance(node, relay.Call) and hasattr(node.op, "name"):
            names[node.op.name] = None

    relay.analysis.post_order_visit(mod["main"], visit)
    return " + ".join(names) or "a function"


def _task(key: str, found: _Found, target: Target, hardware_params: HardwareParams | None) -> SearchTask:
    auto_scheduler = require_auto_scheduler()
    task: SearchTask = auto_scheduler.SearchTask(
        workload_key=key,
        target=target,
        hardware_params=hardware_params,
        layout_rewrite_option=auto_scheduler.LayoutRewriteOption.get_target_default(target, True),
        task_inputs=found.inputs.get(key),
        task_inputs_save_to_file=True,
        desc=",".join(sorted(found.names[key])),
    )
    return task
