"""Named workloads, targets and networks: everything a tuning run or a log refers to by name.

Importing this loads no TVM; the first call that needs it does.
"""

from __future__ import annotations

from tvm_gnn_cost.workloads.definitions import run_definitions
from tvm_gnn_cost.workloads.networks import Network, load_network, network_names, network_tasks, without_downloads
from tvm_gnn_cost.workloads.operators import (
    PREFIX,
    canonical_key,
    describe,
    key_of_log,
    make_task,
    register_all,
    resolve,
    workload_names,
    workload_signatures,
)
from tvm_gnn_cost.workloads.targets import (
    hardware_params_for,
    hardware_params_or_assumed,
    host_target,
    parse_target,
)

__all__ = [
    "PREFIX",
    "Network",
    "canonical_key",
    "describe",
    "hardware_params_for",
    "hardware_params_or_assumed",
    "host_target",
    "key_of_log",
    "load_network",
    "make_task",
    "network_names",
    "network_tasks",
    "parse_target",
    "register_all",
    "resolve",
    "run_definitions",
    "without_downloads",
    "workload_names",
    "workload_signatures",
]
