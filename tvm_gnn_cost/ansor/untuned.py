"""A network's latency before it is tuned, beside which a tuned one is seen."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tvm_gnn_cost.ansor.network_runs import Runner, alternated, random_inputs, why_not_here
from tvm_gnn_cost.ansor.relay_records import compile_untuned
from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.networks import Network, without_downloads, without_remarks
from tvm_gnn_cost.workloads.targets import parse_target

if TYPE_CHECKING:
    from tvm.target import Target

logger = logging.getLogger(__name__)


def untuned_latency(network: Network, target: str | Target = "host", *, seed: int = 0) -> float | None:
    """Seconds of one run of a network as TVM compiles it untuned, the least of some readings.

    None where TVM cannot compile it, which the log says, and where the target's code does not run on this machine.

    Args:
        network: what to time.
        target: a target, its string, or "host" for this machine's CPU.
        seed: of its random inputs.
    """
    import tvm

    parsed = parse_target(target)
    device = tvm.device(parsed.kind.name)
    if not device.exist:
        return None
    try:
        with without_downloads(), without_remarks():
            library = compile_untuned(network.mod, network.params, parsed)
            if why_not_here(library, parsed) is not None:
                return None
            return alternated([Runner(library, device, random_inputs(network.mod, network.params, seed))])[0]
    except Exception as error:  # TVM's, of many kinds; what cannot be compiled untuned may yet be tuned
        logger.warning("%s cannot be compiled and timed untuned: %s", network.name, last_line(error))
        return None
