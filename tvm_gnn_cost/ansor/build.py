"""Compiling a network with the best records of a log, so that it is never slower than untuned.

1. The network's functions are found, and the best record of each one's workload (`relay_records.best_records`).
2. The network is compiled untuned, and with the records; both must compute the same.
3. Each task is timed in the tuned build, and compiled alone without its record. Records that are slower are left out,
   and the network is compiled once more.
4. Both builds are timed in turn. Should the tuned one be slower, the untuned one is kept.

Where the target's code does not run on this machine, steps 3 and 4 are left out, and outputs are not compared.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_gnn_cost.ansor.build_result import NO_RECORD, RECORD, SLOWER, BuildResult, BuiltTask
from tvm_gnn_cost.ansor.fused_functions import FusedFunction, fused_functions
from tvm_gnn_cost.ansor.network_runs import (
    TOLERANCES,
    Runner,
    alternated,
    difference,
    random_inputs,
    random_tensor,
    why_not_here,
)
from tvm_gnn_cost.ansor.relay_records import (
    Compiled,
    TaskRecord,
    best_records,
    compile_untuned,
    compile_with_records,
)
from tvm_gnn_cost.ansor.winograd import plain_convolutions
from tvm_gnn_cost.errors import BuildError, WorkloadError, last_line
from tvm_gnn_cost.networks import Network, without_downloads, without_remarks
from tvm_gnn_cost.system.progress import Observer, Progress, unobserved
from tvm_gnn_cost.workloads.targets import parse_target

if TYPE_CHECKING:
    from tvm.target import Target

logger = logging.getLogger("tvm_gnn_cost")

_READINGS = 3
"""Of each task, by its record and untuned in turn."""


def build_network(
    network: Network,
    log_file: str | os.PathLike[str],
    target: str | Target = "host",
    *,
    seed: int = 0,
    observer: Observer[Progress] = unobserved,
) -> BuildResult:
    """Compile a network with the best records of a log for the target.

    Args:
        network: what to compile.
        log_file: a record log, as `tune_tasks` writes it.
        target: a target, its string, or "host" for this machine's CPU.
        seed: of the random inputs on which outputs are compared.
        observer: told of each step; phases are "functions", "build", "tasks" and "time".

    Raises RecordError for a log that cannot be read or holds no record of the network for the target, WorkloadError
    for a network that cannot be compiled, BuildError where the tuned build computes something else.
    """
    parsed = parse_target(target)
    with without_downloads(), without_remarks():
        builder = _Builder(network, parsed, seed, observer)
        return builder.build(builder.records(log_file))


class _Builder:
    """One call of `build_network`."""

    def __init__(self, network: Network, target: Target, seed: int, observer: Observer[Progress]) -> None:
        self._network, self._target, self._seed, self._observer = network, target, seed, observer
        self._inputs = random_inputs(network.mod, network.params, seed)
        self._tell("functions", 0, 1)
        self._functions: dict[str, list[FusedFunction]] = {}
        for function in fused_functions(network.mod, network.params, target, network.name):
            if function.is_complex and function.workload_key is not None:
                self._functions.setdefault(function.workload_key, []).append(function)

    def records(self, log_file: str | os.PathLike[str]) -> dict[str, TaskRecord]:
        return best_records(log_file, list(self._functions), self._target, self._network.name)

    def build(self, records: dict[str, TaskRecord]) -> BuildResult:
        import tvm

        self._tell("build", 0, 2, "untuned")
        try:
            untuned = compile_untuned(self._network.mod, self._network.params, self._target)
        except Exception as error:  # Relay raises its own errors, of many kinds
            name, reason = self._network.name, last_line(error)
            raise WorkloadError(f"{name} cannot be compiled for {self._target}: {reason}") from error
        self._tell("build", 1, 2, "with records")
        tuned = self._compile(records)
        unchecked = why_not_here(tuned.library, self._target)
        if unchecked is not None:
            return self._result(tuned.library, True, self._tasks(records, records), unchecked=unchecked)
        device = tvm.device(self._target.kind.name)
        runners = [Runner(library, device, self._inputs) for library in (untuned, tuned.library)]
        apart = self._compare(runners)
        alone, in_build = self._time_tasks(device, runners[1], tuned.functions)
        kept = {
            key: record
            for key, record in records.items()
            if key not in in_build or key not in alone or in_build[key] <= alone[key]
        }
        if kept and len(kept) < len(records):
            self._tell("build", 1, 2, f"without {len(records) - len(kept)} slower records")
            tuned = self._compile(kept)
            runners[1] = Runner(tuned.library, device, self._inputs)
            apart = self._compare(runners)
        self._tell("time", 0, 1)
        untuned_s, tuned_s = alternated(runners)
        is_tuned = bool(kept) and tuned_s < untuned_s
        calls = runners[is_tuned].functions()
        total = sum(map(sum, calls.values()))
        now = _by_workload(calls, tuned.functions) if is_tuned else {}
        # What a record was kept or left out for comes before a later reading, which may say otherwise.
        tasks = self._tasks(records, kept if is_tuned else {}, now | in_build, alone, total)
        library = tuned.library if is_tuned else untuned
        return self._result(library, is_tuned, tasks, tuned_s=tuned_s, untuned_s=untuned_s, apart=apart)

    def _compile(self, records: dict[str, TaskRecord]) -> Compiled:
        return compile_with_records(self._network.mod, self._network.params, self._target, records)

    def _compare(self, runners: Sequence[Runner]) -> float:
        """The largest difference of outputs. Raises BuildError where it is too large."""
        expected, ours = (runner.outputs() for runner in runners)
        apart = [difference(a, b) for a, b in zip(ours, expected, strict=True)]
        for i, (distance, output) in enumerate(zip(apart, expected, strict=True)):
            allowed = TOLERANCES.get(str(output.dtype), 0.0)
            if distance > allowed:
                raise BuildError(
                    f"{self._network.name} computes something else with the records: output {i} differs from the "
                    f"untuned build's by {distance:.2g} of its largest value; {output.dtype} is allowed {allowed:g}"
                )
        return max(apart, default=0.0)

    def _time_tasks(
        self, device: Any, build: Runner, functions: dict[str, str]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds of one call of each task compiled alone and untuned, and by its record in the build, by workload.

        The two are read in turn, as other work on the machine may slow one of them down. A task that cannot be compiled
        alone is left out.
        """
        untuned: dict[str, float] = {}
        tuned: dict[str, float] = {}
        for i, (key, same) in enumerate(self._functions.items()):
            self._tell("tasks", i, len(self._functions), same[0].name)
            of_record = {name: key for name, owner in functions.items() if owner == key}
            try:
                alone = self._alone(same[0], device)
            except Exception as error:  # TVM's: then the record is not questioned
                logger.debug("%s is not timed untuned: %s", same[0].name, last_line(error))
                continue
            for _ in range(_READINGS):
                calls = alone.functions()
                moves = [name for name in calls if name.endswith("fused_layout_transform")]
                _keep_least(untuned, {key: sum(sum(times) for name, times in calls.items() if name not in moves)})
                _keep_least(tuned, _by_workload(build.functions(of_record), of_record))
        return untuned, tuned

    def _alone(self, function: FusedFunction, device: Any) -> Runner:
        """A function compiled by itself and untuned."""
        import tvm
        from tvm import relay

        plain = plain_convolutions(function.function)
        # Other names than p0, p1, ..., which are those of a fused function, and of the constants of a build as well.
        params = {var: relay.var(f"of_{var.name_hint}", var.checked_type) for var in plain.params}
        alone = relay.Function(list(params.values()), relay.bind(plain.body, params))
        mod = relay.transform.InferType()(tvm.IRModule.from_expr(alone))
        random = np.random.default_rng(self._seed)
        values = {var.name_hint: random_tensor(var.checked_type, random) for var in mod["main"].params}
        constants = {f"of_{name}": tvm.nd.array(values.pop(f"of_{name}")) for name in function.constants}
        return Runner(compile_untuned(mod, constants, self._target), device, values)

    def _tasks(
        self,
        records: dict[str, TaskRecord],
        kept: dict[str, TaskRecord],
        tuned: dict[str, float] | None = None,
        untuned: dict[str, float] | None = None,
        total: float = 0.0,
    ) -> tuple[BuiltTask, ...]:
        tasks = []
        for key, functions in self._functions.items():
            uses = sum(function.uses for function in functions)
            record = records.get(key)
            tuned_s, untuned_s = (tuned or {}).get(key), (untuned or {}).get(key)
            now = tuned_s if key in kept else untuned_s
            tasks.append(
                BuiltTask(
                    name=", ".join(function.name for function in functions),
                    workload_key=key,
                    uses=uses,
                    schedule=RECORD if key in kept else NO_RECORD if record is None else SLOWER,
                    record_s=None if record is None else record.latency_s,
                    tuned_s=tuned_s,
                    untuned_s=untuned_s,
                    share=uses * now / total if now is not None and total else None,
                )
            )
        return tuple(tasks)

    def _result(
        self,
        library: Any,
        is_tuned: bool,
        tasks: tuple[BuiltTask, ...],
        *,
        tuned_s: float | None = None,
        untuned_s: float | None = None,
        apart: float | None = None,
        unchecked: str | None = None,
    ) -> BuildResult:
        inputs = {name: (value.shape, str(value.dtype)) for name, value in self._inputs.items()}
        return BuildResult(library, str(self._target), is_tuned, tasks, tuned_s, untuned_s, apart, unchecked, inputs)

    def _tell(self, phase: str, done: int, total: int, note: str = "") -> None:
        self._observer(Progress(phase=phase, done=done, total=total, note=note))


def _keep_least(times: dict[str, float], new: dict[str, float]) -> None:
    for key, seconds in new.items():
        times[key] = min(seconds, times.get(key, seconds))


def _by_workload(calls: dict[str, list[float]], functions: dict[str, str]) -> dict[str, float]:
    """Seconds of one call of each workload that a record schedules."""
    times: dict[str, list[float]] = {}
    for name, key in functions.items():
        times.setdefault(key, []).extend(calls.get(name, []))
    return {key: sum(each) / len(each) for key, each in times.items() if each}
