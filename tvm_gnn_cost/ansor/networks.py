"""The tuning tasks in a network."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tvm_gnn_cost.ansor.fused_functions import fused_functions
from tvm_gnn_cost.ansor.relay_tasks import tuning_tasks
from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.networks import Network, without_downloads, without_remarks
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.workloads.targets import parse_target

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.target import Target

logger = logging.getLogger("tvm_gnn_cost")


def network_tasks(network: Network, target: str | Target = "host") -> tuple[list[SearchTask], list[int]]:
    """The tuning tasks in a network, and how often each occurs (their weights).

    They are those of `auto_scheduler.extract_tasks`, but for what keeps TVM from packing their weights (`relay_axes`,
    `relay_tasks`); compile the network by `build.build_network`, or within `relay_axes.tunable_axes`. Extracting them
    also registers them with auto_scheduler, so that a log of theirs can be read. Operators that TVM cannot schedule for
    `target` are named in a warning, and the others are given. Raises WorkloadError where nothing in the network can be
    tuned for `target`.
    """
    require_auto_scheduler()
    parsed = parse_target(target)
    with without_downloads(), without_remarks():
        functions = fused_functions(network.mod, network.params, parsed, network.name)
        tasks, weights = tuning_tasks(functions, parsed)
    failed = "; ".join(dict.fromkeys(f"{one.operators} ({one.problem})" for one in functions if one.problem))
    if not tasks:
        why = f"; TVM cannot schedule {failed}" if failed else ""
        raise WorkloadError(f"{network.name} holds no task that can be tuned for {parsed}{why}")
    if failed:
        logger.warning("%s: TVM cannot schedule %s for %s; the rest is tuned", network.name, failed, parsed)
    return tasks, weights
