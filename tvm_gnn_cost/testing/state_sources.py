"""Schedules of many kinds to prove something on: tasks of every sort, and the states that a search makes of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tvm
from tvm import auto_scheduler, te, tir, topi
from tvm.meta_schedule.testing.te_workload import CONFIGS

from tvm_gnn_cost.ansor.measurements import result_latency
from tvm_gnn_cost.ansor.record_log import read_records, recover
from tvm_gnn_cost.ansor.tasks import make_task, register_all
from tvm_gnn_cost.networks import load_network, without_downloads
from tvm_gnn_cost.records.logs import find_logs, is_log_name
from tvm_gnn_cost.testing.schedules import on_hardware
from tvm_gnn_cost.workloads import run_definitions

TARGETS = ("llvm -num-cores=4", "cuda -arch=sm_70", "rocm")
V100 = (80, 16, 64, 49152, 65536, 1024, 8, 32)
"""HardwareParams of a GPU, since there may be none here."""

FAMILIES = ("operators", "chains", "special", "networks", "records")
SHAPES = 2
"""Of each of TVM's configurations, so many of its shapes."""

CHAINS: dict[str, tuple[int, ...]] = {
    "attention": (4, 64, 32),
    "average_pool2d": (1, 32, 28, 28, 3, 2, 1),
    "conv2d_bias_swish": (1, 48, 28, 28, 96, 3, 1, 1),
    "conv2d_nchw": (1, 28, 28, 32, 64, 3, 3, 1, 1),
    "conv2d_nchw_bias_bn_relu": (1, 28, 28, 32, 64, 3, 3, 1, 1),
    "dense": (128, 256, 192),
    "dense_relu": (196, 384, 384),
    "elementwise_chain": (96, 3072),
    "global_average_pool": (8, 512, 14, 14),
    "grouped_conv2d_nchw": (1, 32, 14, 14, 32, 3, 1, 1, 4),
    "layer_norm": (128, 768),
    "log_softmax": (64, 4096),
    "matmul": (128, 128, 256),
    "matmul_relu": (1024, 128, 512),
    "matvec": (1024, 768),
    "max_pool2d_nchw": (1, 56, 56, 64, 1),
    "mlp": (64, 64, 128, 64),
    "reduce_columns": (1024, 64),
    "reduce_rows": (16, 1024),
    "rms_norm": (64, 512),
    "separable_conv2d": (1, 28, 28, 16, 32, 3, 1),
    "swiglu": (32, 64, 128),
    "transpose_add": (64, 128),
    "upsample_conv2d": (1, 16, 7, 7, 16, 3),
}
NETWORKS = (
    ("resnet-18", "NHWC"),
    ("mobilenet", "NHWC"),
    ("squeezenet-1.1", "NCHW"),
    ("dcgan", "NHWC"),
    ("dqn", "NHWC"),
    ("mlp", "NCHW"),
)
BATCH = 64


@dataclass(frozen=True)
class Source:
    """Where states come from.

    Attributes:
        name: of the workload and its shape.
        family: one of FAMILIES.
        target: TVM's string for it.
        task: the SearchTask that the states belong to.
        log: the recorded schedules, or None where the search makes them.
    """

    name: str
    family: str
    target: str
    task: Any
    log: Path | None = None

    def batches(self, count: int, seed: int = 1) -> Iterator[list[Any]]:
        """At most `count` bound-inferred states; a log may have fewer."""
        return recorded(self.log, count) if self.log is not None else searched(self.task, count, seed)

    def on(self, hardware: Sequence[int]) -> Source:
        """The same computation for another GPU's limits."""
        return replace(self, task=on_hardware(self.task, hardware))


def searched(task: Any, count: int, seed: int = 1) -> Iterator[list[Any]]:
    """Bound-inferred states of the task: of each round of the search, those it sampled and those it evolved."""
    size = min(BATCH, max(8, count // 3))
    sizes = {
        "sample_init_min_population": size,
        "evolutionary_search_population": 2 * size,
        "evolutionary_search_num_iters": 3,
    }
    while count > 0:
        policy = auto_scheduler.SketchPolicy(task, auto_scheduler.RandomModel(), params=sizes, verbose=0, seed=seed)
        sampled = list(policy.sample_initial_population())
        states = sampled[: min(size, (count + 1) // 2)] + list(policy.evolutionary_search(sampled, 2 * size))
        states = states[:count]
        yield [task.compute_dag.infer_bound_from_state(state) for state in states]
        count -= len(states)
        seed += 1


def recorded(log: Path, count: int, *, failed_only: bool = False) -> Iterator[list[Any]]:
    """Bound-inferred states of a log, the first ones; `failed_only`: of the measurements that failed."""
    records = read_records(log, count)
    chosen = [
        inp
        for inp, res in zip(records.inputs, records.results, strict=True)
        if not failed_only or result_latency(res) == float("inf")
    ]
    for start in range(0, len(chosen), BATCH):
        yield [recover(inp).state for inp in chosen[start : start + BATCH]]


def sources(
    families: Sequence[str] = FAMILIES,
    targets: Sequence[str] = TARGETS,
    records: Sequence[Path] = (),
    hardware: Sequence[int] = V100,
    pools: Path | None = None,
) -> Iterator[Source]:
    """The sources of these families and targets, one by one, since a network's tasks take seconds to extract.

    Args:
        families: see FAMILIES.
        targets: see TARGETS; a log has its own target, and counts where it is of the same kind as one of these.
        records: folders of logs (searched as a whole). A `workloads.py` in such a folder is run to register the
            workloads.
        hardware: arguments of HardwareParams for GPU targets.
        pools: a folder with a folder of pools for each machine; they come before the records.
    """
    for family in families:
        if family == "records":
            kinds = {tvm.target.Target(target).kind.name for target in targets}
            yield from (s for s in _logs(pools, records) if s.task.target.kind.name in kinds)
        elif family == "networks":
            for name, layout in NETWORKS:
                yield from network_sources(name, layout, targets, hardware)
        else:
            for target in targets:
                yield from _FAMILY[family](target, _hardware(hardware, target))


def _hardware(hardware: Sequence[int], target: str) -> Any:
    """What a task on this target is given: nothing for a CPU, which states its own."""
    return None if target.startswith("llvm") else auto_scheduler.HardwareParams(*hardware)


def _operators(target: str, hardware: Any) -> Iterator[Source]:
    for name, (_, shapes) in CONFIGS.items():
        for index in range(min(SHAPES, len(shapes))):
            task = make_task(name, (index,), target, hardware)
            yield Source(f"{name} {index}", "operators", target, task)


def _chains(target: str, hardware: Any) -> Iterator[Source]:
    for name, shape in CHAINS.items():
        yield Source(name, "chains", target, make_task(name, shape, target, hardware))


def _special(target: str, hardware: Any) -> Iterator[Source]:
    for function in SPECIAL:
        if function in CPU_ONLY and not target.startswith("llvm"):
            continue
        key = f"tvm_gnn_cost.special.{function.__name__}"
        auto_scheduler.register_workload(key, f=function, override=True)
        task = auto_scheduler.SearchTask(func=key, args=(), target=target, hardware_params=hardware)
        yield Source(function.__name__, "special", target, task)


def network_sources(
    name: str, layout: str, targets: Sequence[str] = TARGETS, hardware: Sequence[int] = V100
) -> Iterator[Source]:
    """The tasks of one network: winograd convolutions and, on a CPU, layout-free weights are among them.

    They are extracted once for CPUs and once for GPUs, which takes 10 to 30 seconds each.
    """
    network = load_network(name, layout=layout)
    for on_cpu in (True, False):
        alike = [target for target in targets if target.startswith("llvm") == on_cpu]
        if not alike:
            continue
        with without_downloads():
            tasks, _ = auto_scheduler.extract_tasks(
                network.mod, network.params, tvm.target.Target(alike[0]), hardware_params=_hardware(hardware, alike[0])
            )
        for target in alike:
            for i, task in enumerate(tasks):
                ported = auto_scheduler.SearchTask(
                    compute_dag=task.compute_dag,
                    workload_key=task.workload_key,
                    target=tvm.target.Target(target),
                    hardware_params=_hardware(hardware, target),
                    layout_rewrite_option=task.layout_rewrite_option,
                )
                yield Source(f"{name} {layout} task {i}", "networks", target, ported)


_FAMILY: dict[str, Callable[[str, Any], Iterator[Source]]] = {
    "operators": _operators,
    "chains": _chains,
    "special": _special,
}


def _logs(pools: Path | None, folders: Sequence[Path]) -> Iterator[Source]:
    register_all()
    found: list[tuple[Path, Path]] = []
    if pools is not None:
        logs = find_logs(sorted(p for p in pools.iterdir() if p.is_dir()))
        found += [(pools, path) for path in logs if path.is_file()]  # the others are MetaSchedule's
    for folder in folders:
        if (folder / "workloads.py").exists():
            run_definitions(folder / "workloads.py")
        found += [(folder, path) for path in sorted(folder.rglob("*.json*")) if is_log_name(path.name)]
    for folder, path in found:
        first = read_records(path, 1)
        if len(first):
            task = auto_scheduler.measure.recover_measure_input(first.inputs[0], rebuild_state=False).task
            yield Source(str(path.relative_to(folder)), "records", str(task.target.kind.name), task, path)


# --- computations that neither the operators nor the chains have ---


def argmax_rows() -> list[te.Tensor]:
    """A reduction of pairs (two outputs), as topi has it for argmax and argmin, then an element-wise stage."""
    x = te.placeholder((64, 512), name="x")
    return [x, topi.argmax(x, axis=1)]


def nearest() -> list[te.Tensor]:
    """A product that keeps the best term and where it was: a tiled reduction of pairs, with a cache for both."""

    def better(left: Any, right: Any) -> tuple[Any, Any]:
        keep = left[1] >= right[1]
        return tir.Select(keep, left[0], right[0]), tir.Select(keep, left[1], right[1])

    best = te.comm_reducer(better, lambda where, value: (tir.const(-1, where), te.min_value(value)), name="best_of")
    a, b = te.placeholder((64, 48), name="a"), te.placeholder((48, 32), name="b")
    k = te.reduce_axis((0, 48), name="k")
    return [a, b, *te.compute((64, 32), lambda i, j: best((k.var, a[i, k] * b[k, j]), axis=k), name="best")]


def gather() -> list[te.Tensor]:
    """Data-dependent reads."""
    table, index = te.placeholder((1000, 64), name="table"), te.placeholder((32,), dtype="int32", name="index")
    taken = te.compute((32, 64), lambda i, j: table[index[i], j], name="taken")
    return [table, index, te.compute((32, 64), lambda i, j: taken[i, j] * 2.0, name="doubled")]


def total() -> list[te.Tensor]:
    """A scalar output."""
    x = te.placeholder((4096,), name="x")
    return [x, topi.sum(x)]


def int8_matmul() -> list[te.Tensor]:
    """Mixed element sizes: int8 inputs, int32 sums."""
    a, b = te.placeholder((128, 256), "int8", name="a"), te.placeholder((256, 128), "int8", name="b")
    k = te.reduce_axis((0, 256), name="k")
    c = te.compute((128, 128), lambda i, j: te.sum(a[i, k].astype("int32") * b[k, j].astype("int32"), axis=k), name="c")
    return [a, b, te.compute((128, 128), lambda i, j: (c[i, j] >> 4).astype("int8"), name="narrow")]


def half_matmul() -> list[te.Tensor]:
    """float16, and extents that no tile divides."""
    a, b = te.placeholder((97, 101), "float16", name="a"), te.placeholder((101, 89), "float16", name="b")
    return [a, b, topi.nn.relu(topi.nn.matmul(a, b))]


def concatenate_split() -> list[te.Tensor]:
    """Conditions around reads: two inputs end to end, then a strided piece of them."""
    a, b = te.placeholder((32, 48), name="a"), te.placeholder((32, 80), name="b")
    joined = topi.concatenate([topi.tanh(a), topi.exp(b)], axis=1)
    return [a, b, topi.strided_slice(joined, [0, 16], [32, 112], [1, 3])]


def reflect_pad_conv() -> list[te.Tensor]:
    """Reflected borders, read by a convolution."""
    x, f = te.placeholder((1, 8, 30, 30), name="x"), te.placeholder((16, 8, 3, 3), name="f")
    padded = topi.nn.mirror_pad(x, [0, 0, 1, 1], [0, 0, 1, 1], "REFLECT")
    return [x, f, topi.nn.conv2d_nchw(padded, f, 1, 0, 1, out_dtype="float32")]


def two_outputs() -> list[te.Tensor]:
    """Two results that share a stage."""
    x, w = te.placeholder((64, 64), name="x"), te.placeholder((64, 64), name="w")
    y = topi.nn.matmul(x, w)
    return [x, w, topi.nn.relu(y), topi.sum(y, axis=1)]


CPU_ONLY = (nearest,)
"""TVM's sketch rules for GPUs end in an error for it (`GetConsumers`: cannot find op)."""

SPECIAL: tuple[Callable[[], list[te.Tensor]], ...] = (
    argmax_rows,
    gather,
    total,
    int8_matmul,
    half_matmul,
    concatenate_split,
    reflect_pad_conv,
    two_outputs,
    *CPU_ONLY,
)
