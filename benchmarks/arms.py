"""What comparisons of whole tuning runs share: runs of several arms, each made once and kept."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tvm_gnn_cost.records.comparison import Comparison, Run
from tvm_gnn_cost.records.saved_tasks import tasks_path
from tvm_gnn_cost.records.tuning_run import TuneResult
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, timestamp


def open_comparison(path: Path, label: str, settings: Mapping[str, Any]) -> Comparison:
    """The comparison there, or a new one. Leaves the program where it was made with other settings."""
    if not path.exists():
        return Comparison(label, settings, describe_machine(), describe_versions(), timestamp())
    found = Comparison.load(path)
    if found.settings != settings:
        raise SystemExit(f"{path} was made otherwise ({found.settings}): name another --output")
    return found


def run_arm(arm: str, seed: int, log: Path, tune: Callable[[], TuneResult]) -> Run:
    """One run; `tune` writes that log, from which a run that was cut off is removed. It is kept compressed.

    Leaves the program where the run is interrupted.
    """
    log.unlink(missing_ok=True)
    tasks_path(log).unlink(missing_ok=True)
    started = timestamp()
    result = tune()
    if result.interrupted:
        raise SystemExit("interrupted: the same command makes this run anew, and those that are missing")
    run = Run.from_result(arm, seed, started, result)
    kept = log.with_name(f"{log.name}.gz")
    kept.write_bytes(gzip.compress(log.read_bytes(), mtime=0))
    log.unlink()
    return replace(run, log_file=kept.name)
