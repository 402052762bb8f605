"""A user's own workloads: Python files that register them, run because the user names them."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler


def run_definitions(path: str | os.PathLike[str]) -> None:
    """Executes a Python file that registers workloads with auto_scheduler, so that logs of theirs can be read.

    Raises WorkloadError for a file that is missing, is no Python file or fails.
    """
    require_auto_scheduler()
    file = Path(path)
    spec = importlib.util.spec_from_file_location("registered_workloads", file) if file.is_file() else None
    if spec is None or spec.loader is None:
        raise WorkloadError(f"{file} is no Python file; name one (.py) that registers the workloads of your logs")
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except Exception as error:  # the user's file may raise anything
        raise WorkloadError(f"{file} fails: {type(error).__name__}: {error}") from error
