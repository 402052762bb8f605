"""The tuning tasks in a network."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tvm_gnn_cost.ansor.extraction import extract
from tvm_gnn_cost.ansor.hardware_params import hardware_params_for
from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.networks import Network, without_downloads
from tvm_gnn_cost.workloads.targets import parse_target

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.target import Target

logger = logging.getLogger("tvm_gnn_cost")


def network_tasks(network: Network, target: str | Target = "host") -> tuple[list[SearchTask], list[int]]:
    """The tuning tasks in a network, and how often each occurs (their weights).

    Extracting them also registers them with auto_scheduler, so that a log of theirs can be read. Operators that TVM
    cannot schedule for `target` are named in a warning, and the others are given. Raises WorkloadError where nothing
    in the network can be tuned for `target`.
    """
    parsed = parse_target(target)
    with without_downloads():
        found = extract(network.mod, network.params, parsed, hardware_params_for(parsed))
    failed = "; ".join(f"{operators} ({reason})" for operators, reason in found.failed.items())
    if not found.tasks:
        why = f"; TVM cannot schedule {failed}" if failed else ""
        raise WorkloadError(f"{network.name} holds no task that can be tuned for {parsed}{why}")
    if failed:
        logger.warning("%s: TVM cannot schedule %s for %s; the rest is tuned", network.name, failed, parsed)
    return list(found.tasks), list(found.weights)
