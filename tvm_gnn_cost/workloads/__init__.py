"""Named workloads and targets: what a tuning run or a log refers to by name, whichever scheduler tunes it.

Importing this loads no TVM; the first call that needs it does.
"""

from __future__ import annotations

from tvm_gnn_cost.workloads.definitions import run_definitions
from tvm_gnn_cost.workloads.own import OwnWorkload, find_own, find_workload, own_names
from tvm_gnn_cost.workloads.registry import (
    PREFIX,
    canonical_key,
    describe,
    key_of_log,
    resolve,
    workload_names,
    workload_signatures,
)
from tvm_gnn_cost.workloads.targets import host_target, parse_target
from tvm_gnn_cost.workloads.workload import Workload

__all__ = [
    "PREFIX",
    "OwnWorkload",
    "Workload",
    "canonical_key",
    "describe",
    "find_own",
    "find_workload",
    "host_target",
    "key_of_log",
    "own_names",
    "parse_target",
    "resolve",
    "run_definitions",
    "workload_names",
    "workload_signatures",
]
