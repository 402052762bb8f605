"""The measured pools in `data/`: their workloads, and their records as stage graphs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.measurements import result_latency, task_key
from tvm_gnn_cost.records import read_records
from tvm_gnn_cost.stage_graph.graph import StageGraphBatch
from tvm_gnn_cost.stage_graph.native_builder import make_builder
from tvm_gnn_cost.tvm_compat import require_auto_scheduler
from tvm_gnn_cost.workloads import PREFIX, register_all

CPU_POOLS = Path(__file__).with_name("data") / "cpu"

_OLD_NAMES = {
    "attention": "scaled_attention",
    "average_pool2d": "average_pool",
    "conv2d_bias_swish": "conv_bias_swish",
    "global_average_pool": "global_average",
    "grouped_conv2d_nchw": "grouped_nchw",
    "separable_conv2d": "separable",
    "upsample_conv2d": "upsample_conv",
}


@dataclass(frozen=True)
class Pool:
    """The records of one task: n graphs, latency (n,) in seconds (inf: failed), the task's key and flop."""

    name: str
    graphs: StageGraphBatch
    latency: NDArray[np.float64]
    task: str
    flop: float

    @property
    def operator(self) -> str:
        """The workload without its shape."""
        return self.name.partition("-")[0]


def register_pool_workloads() -> None:
    """Registers the workloads of the pools' logs."""
    auto_scheduler = require_auto_scheduler()
    register_all()
    for key, function in list(auto_scheduler.workload_registry.WORKLOAD_FUNC_REGISTRY.items()):
        if key.startswith(PREFIX):
            name = key.removeprefix(PREFIX)
            auto_scheduler.register_workload(f"cpu_{_OLD_NAMES.get(name, name)}", f=function, override=True)


def read_pools(folder: Path = CPU_POOLS) -> Iterator[Pool]:
    """The pools of a folder, by name. Records that cannot be used are reported in the log."""
    auto_scheduler = require_auto_scheduler()
    register_pool_workloads()
    for path in sorted(folder.glob("*.json*")):
        log = read_records(path, rebuild=True)
        if not len(log):
            continue
        task = auto_scheduler.measure.recover_measure_input(log.inputs[0], rebuild_state=False).task
        built = make_builder(task).build([inp.state for inp in log.inputs])
        latency = np.array([result_latency(result) for result in log.results], dtype=np.float64)
        yield Pool(
            path.name.removesuffix(".gz").removesuffix(".json"),
            built.graphs,
            latency[built.readable],
            task_key(task),
            max(1.0, float(task.compute_dag.flop_ct)),
        )
