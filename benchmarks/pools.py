"""Measured pools: their workloads, and their records as states and as stage graphs.

CPU pools are in `data/`. GPU records come from a folder that the user names: `{device}/{operator}/SHAPE.json.gz`, and a
`workloads.py` beside them that registers the workloads when it runs.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.measurements import result_latency, task_key
from tvm_gnn_cost.records import read_records
from tvm_gnn_cost.stage_graph.graph import StageGraphBatch
from tvm_gnn_cost.stage_graph.native_builder import make_builder
from tvm_gnn_cost.tvm_compat import require_auto_scheduler
from tvm_gnn_cost.workloads import PREFIX, register_all

CPU_POOLS = Path(__file__).with_name("data") / "cpu"

GPU_ARCHITECTURES = {"k80": "sm_37", "v100": "sm_70"}
"""By device folder. Written into the records' target where it is missing: it tells the devices' tasks apart."""

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
    """The records of one task: n graphs, latency (n,) in seconds (inf: failed), the task's key, flop and device."""

    name: str
    graphs: StageGraphBatch
    latency: NDArray[np.float64]
    task: str
    flop: float
    device: str = "cpu"

    @property
    def operator(self) -> str:
        """The workload without its shape."""
        return self.name.partition("-")[0]


@dataclass(frozen=True)
class MeasuredStates:
    """The records of one task as TVM has them.

    Attributes:
        name: workload and shape, as "conv-1_2_3".
        device: what they were measured on.
        task: TVM's SearchTask.
        states: the n StateObjects, bounds inferred.
        latency: float64 (n,), seconds; inf: failed.
        digest: of the records' text.
    """

    name: str
    device: str
    task: Any
    states: list[Any]
    latency: NDArray[np.float64]
    digest: str

    def pool(self) -> tuple[Pool, NDArray[np.bool_]]:
        """As stage graphs; and bool (n,), which of the states they are: those that could be read."""
        built = make_builder(self.task).build(self.states)
        flop = max(1.0, float(self.task.compute_dag.flop_ct))
        latency = self.latency[built.readable]
        return Pool(self.name, built.graphs, latency, task_key(self.task), flop, self.device), built.readable


def register_pool_workloads() -> None:
    """Registers the workloads of the pools' logs."""
    auto_scheduler = require_auto_scheduler()
    register_all()
    for key, function in list(auto_scheduler.workload_registry.WORKLOAD_FUNC_REGISTRY.items()):
        if key.startswith(PREFIX):
            name = key.removeprefix(PREFIX)
            auto_scheduler.register_workload(f"cpu_{_OLD_NAMES.get(name, name)}", f=function, override=True)


def read_cpu_states(folder: Path = CPU_POOLS) -> Iterator[MeasuredStates]:
    """The pools of a folder, by name. Records that cannot be used are reported in the log."""
    register_pool_workloads()
    for path in sorted(folder.glob("*.json*")):
        found = _read(_stem(path), "cpu", _lines(path))
        if found is not None:
            yield found


def gpu_logs(folder: Path, tasks: int | None = None) -> list[Path]:
    """The logs of a folder of GPU records; of a number of them, an even share of every device and operator."""
    logs = sorted(folder.glob("*/*/*.json*"))
    if not logs:
        raise RecordError(f"{folder} holds no DEVICE/OPERATOR/SHAPE.json.gz")
    groups: dict[Path, list[Path]] = {}
    for path in logs:
        groups.setdefault(path.parent, []).append(path)
    # The smallest groups first, so that what they lack falls to the larger ones.
    left, chosen = len(logs) if tasks is None else tasks, []
    for i, (_, paths) in enumerate(sorted(groups.items(), key=lambda item: (len(item[1]), item[0]))):
        take = min(len(paths), left // (len(groups) - i))
        chosen += even_sample(paths, take)
        left -= take
    return sorted(chosen)


def read_gpu_states(folder: Path, tasks: int | None = None, records: int | None = None) -> Iterator[MeasuredStates]:
    """GPU records by device, operator and shape; of each task at most so many, evenly taken from its log."""
    require_auto_scheduler()
    _run(folder / "workloads.py")
    for path in gpu_logs(folder, tasks):
        device = path.parent.parent.name
        lines = _lines(path)
        if records is not None:
            lines = even_sample(lines, records)
        arch = GPU_ARCHITECTURES.get(device)
        if arch:
            lines = [re.sub(r'"cuda (?!.*-arch)', f'"cuda -arch={arch} ', line, count=1) for line in lines]
        found = _read(f"{path.parent.name}-{_stem(path)}", device, lines)
        if found is not None:
            yield found


def read_pools(folder: Path = CPU_POOLS) -> Iterator[Pool]:
    """The CPU pools of a folder as stage graphs, by name."""
    for measured in read_cpu_states(folder):
        yield measured.pool()[0]


def read_gpu_pools(folder: Path, tasks: int | None = None, records: int | None = None) -> Iterator[Pool]:
    """`read_gpu_states` as stage graphs."""
    for measured in read_gpu_states(folder, tasks, records):
        yield measured.pool()[0]


def even_sample(items: Sequence[Any], number: int) -> list[Any]:
    """So many of the items, evenly spaced and in order; all where there are fewer."""
    return [items[i * len(items) // number] for i in range(number)] if number < len(items) else list(items)


def _read(name: str, device: str, lines: list[str]) -> MeasuredStates | None:
    auto_scheduler = require_auto_scheduler()
    text = "".join(lines)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"{name}.json"
        path.write_text(text)
        log = read_records(path, rebuild=True)
    if not len(log):
        return None
    task = auto_scheduler.measure.recover_measure_input(log.inputs[0], rebuild_state=False).task
    latency = np.array([result_latency(result) for result in log.results], dtype=np.float64)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return MeasuredStates(name, device, task, [inp.state for inp in log.inputs], latency, digest)


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode(errors="replace")
    return [line for line in text.splitlines(keepends=True) if line.strip()]


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".json")


def _run(path: Path) -> None:
    """Executes a Python file, as the user asked by naming its folder."""
    spec = importlib.util.spec_from_file_location("recorded_workloads", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise RecordError(f"{path} is missing: it registers the workloads of the records beside it")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
