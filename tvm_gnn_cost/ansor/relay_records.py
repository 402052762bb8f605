"""Compiling a Relay network with records: what has one is scheduled by it, the rest stays as it would be untuned.

TVM's own way (`ApplyHistoryBest` with `relay.backend.use_auto_scheduler`) is all or nothing: auto_scheduler's
definitions of operators are taken for the whole network, and an operator without a record gets their naive schedule,
which can be ten times slower than what TVM compiles untuned. Here each operator is asked for. Those of functions
without a record are lowered as if auto_scheduler were off; which they are shows only once the network has been divided
into functions, so it is compiled again until no function is left with auto_scheduler's definition and no record.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.layout_rewrite import rewrites_layouts
from tvm_gnn_cost.ansor.measurements import measured_latency
from tvm_gnn_cost.ansor.record_log import read_records
from tvm_gnn_cost.ansor.relay_axes import tunable_axes
from tvm_gnn_cost.ansor.winograd import WINOGRAD, winograd_key
from tvm_gnn_cost.errors import RecordError, last_line
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler

if TYPE_CHECKING:
    from tvm.target import Target

logger = logging.getLogger("tvm_gnn_cost")

Signature = tuple[str, str, tuple[Any, ...]]
"""An operator with its attributes and its inputs' shapes and types."""

_MOST_ROUNDS = 8
_SCHEDULE = "auto_scheduler.relay_integration.auto_schedule_topi_compute"
_lock = threading.RLock()


@dataclass(frozen=True)
class TaskRecord:
    """The best record of a task.

    Attributes:
        state: the hollow `StateObject`, as a log holds it.
        latency_s: as measured.
        packs: whether it was measured with its weights packed to suit it.
    """

    state: Any
    latency_s: float
    packs: bool


@dataclass(frozen=True)
class Compiled:
    """A compiled network.

    Attributes:
        library: what `relay.build` returns.
        functions: name of a function -> key of the workload whose record schedules it.
    """

    library: Any
    functions: dict[str, str]


def best_records(
    log_file: str | os.PathLike[str], keys: Sequence[str], target: Target, network: str
) -> dict[str, TaskRecord]:
    """The fastest record for `target` of each of the workloads in a log; those without one are left out.

    Args:
        log_file: a record log.
        keys: workloads, registered with auto_scheduler.
        target: records of others do not count: a schedule that suits one processor may not suit another.
        network: what the workloads belong to, for messages.

    Raises RecordError for a log that cannot be read, or without a successful record of any of the workloads.
    """
    options = require_auto_scheduler().LayoutRewriteOption
    wanted = set(keys)
    log = read_records(log_file)
    best: dict[str, TaskRecord] = {}
    targets: set[str] = set()
    failed = 0
    for inp, result in zip(log.inputs, log.results, strict=True):
        key, latency = str(inp.task.workload_key), measured_latency(result)
        if key not in wanted:
            continue
        targets.add(str(inp.task.target))
        if str(inp.task.target) != str(target):
            continue
        failed += latency is None
        if latency is not None and (key not in best or latency < best[key].latency_s):
            packs = int(inp.task.layout_rewrite_option) != int(options.NO_REWRITE)
            best[key] = TaskRecord(inp.state, latency, packs)
    if best:
        return best
    total, where = len(log) + len(log.skipped), os.fspath(log_file)
    if not targets:
        raise RecordError(
            f"{where}: none of its {total} records belongs to a task of {network}; it is the log of another network, "
            "or of another layout, batch size or shape"
        )
    if failed:
        raise RecordError(f"{where}: all {failed} measurements of tasks of {network} for {target} failed")
    raise RecordError(f"{where} has records of {network} for {', '.join(sorted(targets))}, none for {target}")


def compile_untuned(mod: Any, params: dict[str, Any], target: Target) -> Any:
    """`relay.build` at its default level, without any tuning."""
    import tvm

    with tvm.transform.PassContext(opt_level=3):
        return tvm.relay.build(mod, target=target, params=params)


def compile_with_records(
    mod: Any, params: dict[str, Any], target: Target, records: Mapping[str, TaskRecord]
) -> Compiled:
    """Compile a network, scheduling what has a record by it and all else as `compile_untuned` does."""
    import tvm
    from tvm import relay

    records, plain = dict(records), set[Signature]()
    context = {"opt_level": 3, "config": {"relay.backend.use_auto_scheduler": True}}
    # Where weights are packed, optimising alone asks for every function's record: no code is made for a network that
    # will be compiled again.
    steps = [relay.optimize, relay.build] if rewrites_layouts(target) else [relay.build]
    for step in steps:
        for _ in range(_MOST_ROUNDS):
            with _records(records, plain) as asked, tvm.transform.PassContext(**context):
                library = step(mod, target=target, params=params)
            lost = asked.lost_layouts if step is relay.build else set()
            if asked.without_record <= plain and not lost:
                break
            plain |= asked.without_record
            records |= {key: replace(records[key], packs=False) for key in lost}
    return Compiled(library, asked.functions)


class _Dispatch:
    """What Relay asks while it compiles, and what it is told.

    Attributes:
        functions: see `Compiled`.
        without_record: operators of functions without a record that auto_scheduler defines in its own way.
    """

    def __init__(self, records: Mapping[str, TaskRecord], plain: set[Signature]) -> None:
        self._records, self._plain = records, plain
        self._packed: dict[str, str] = {}
        self._found: set[str] = set()
        self._selected: set[Signature] = set()
        self._convolutions: dict[tuple[Any, ...], set[Signature]] = {}  # by what Winograd's operator knows of them
        self._operators: set[Signature] = set()
        self.functions: dict[str, str] = {}
        self.without_record: set[Signature] = set()

    @property
    def lost_layouts(self) -> set[str]:
        """Workloads whose weights were packed, but whose functions were then not known again."""
        return {key for packed, key in self._packed.items() if packed not in self._found}

    def schedule(self, name: str, outputs: Any) -> Any:
        """As TVM's `auto_schedule_topi`: a schedule for a fused function, or None for the one of its operator."""
        auto_scheduler = require_auto_scheduler()
        integration = auto_scheduler.relay_integration
        operators, self._operators = self._operators, set()
        tensors, has_free_layout, _ = integration.traverse_to_get_io_tensors(outputs)
        if not tensors:
            self.without_record |= operators
            return None
        try:
            dag = auto_scheduler.ComputeDAG(tensors)
            found = dag.workload_key()
            key = self._packed.get(found, found)
            if key not in self._records:
                self.without_record |= operators
                return None
            record = self._records[key]
            if integration.TracingEnvironment.current is None:
                schedule, _ = dag.apply_steps_from_state(record.state)
                self.functions[name] = key
                self._found.add(found)
                return schedule
            if record.packs and has_free_layout:
                packed = dag.rewrite_layout_from_state(record.state).workload_key()
                if packed != found:
                    self._packed[packed] = key
        except Exception as error:  # TVM raises many kinds of error
            logger.warning("%s stays untuned: its record cannot be applied (%s)", name, last_line(error))
            self.without_record |= operators
        return None

    def select(self, original: Any, arguments: Sequence[Any], use_autotvm: bool) -> Any:
        """As TVM's `select_implementation`: the definition of an operator."""
        from tvm.relay.backend import te_compiler

        self._selected = set()
        if not require_auto_scheduler().relay_integration.is_auto_scheduler_enabled():
            return original(*arguments, use_autotvm)
        signature = _signature(*arguments[:3])
        if signature in self._plain:
            with _auto_scheduler_off():
                return original(*arguments, use_autotvm)
        implementation, outputs = original(*arguments, use_autotvm)
        if signature[0] == WINOGRAD:
            self._selected = self._convolutions.get(winograd_key(*arguments[1:4]), set())
            return implementation, outputs
        with _auto_scheduler_off():
            untuned = max(te_compiler.get_valid_implementations(*arguments), key=lambda one: one.plevel)
        if untuned.name != implementation.name:
            self._selected = {signature}
        if "winograd" in implementation.name:
            self._convolutions.setdefault(winograd_key(*arguments[1:4]), set()).add(signature)
        return implementation, outputs

    def lowered(self) -> None:
        """The operator selected last is one that Relay lowers; it asks for others in order to change layouts."""
        self._operators |= self._selected


@contextmanager
def _records(records: Mapping[str, TaskRecord], plain: set[Signature]) -> Iterator[_Dispatch]:
    """Within it Relay takes schedules from the records, and defines the operators of `plain` as if untuned."""
    require_auto_scheduler()
    from tvm._ffi import register_func
    from tvm.auto_scheduler.relay_integration import auto_schedule_topi
    from tvm.relay.backend import te_compiler

    asked = _Dispatch(records, plain)
    select, lowered = te_compiler.select_implementation, te_compiler.LoweredOutput

    def select_implementation(*arguments: Any, use_autotvm: bool = True) -> Any:
        return asked.select(select, arguments[:5], use_autotvm)

    def lowered_output(*arguments: Any) -> Any:  # the end of te_compiler.lower_call, which C++ knows for good
        asked.lowered()
        return lowered(*arguments)

    with _lock, tunable_axes():
        register_func(_SCHEDULE, asked.schedule, override=True)
        te_compiler.select_implementation, te_compiler.LoweredOutput = select_implementation, lowered_output
        try:
            yield asked
        finally:
            te_compiler.select_implementation, te_compiler.LoweredOutput = select, lowered
            register_func(_SCHEDULE, auto_schedule_topi, override=True)


@contextmanager
def _auto_scheduler_off() -> Iterator[None]:
    import tvm

    now = tvm.transform.PassContext.current()
    config = {name: value for name, value in now.config.items() if name != "relay.backend.use_auto_scheduler"}
    with tvm.transform.PassContext(
        opt_level=now.opt_level, required_pass=now.required_pass, disabled_pass=now.disabled_pass, config=config
    ):
        yield


def _signature(operator: Any, attributes: Any, inputs: Sequence[Any]) -> Signature:
    names = [] if attributes is None else sorted(str(name) for name in attributes.keys())
    values = ", ".join(f"{name}={attributes[name]}" for name in names)
    return operator.name, values, tuple((tuple(map(str, tensor.shape)), str(tensor.dtype)) for tensor in inputs)
