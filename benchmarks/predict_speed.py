"""Time and memory of `predict` on the same candidates: GNNCostModel and stock XGBModel, both trained, in one run.

    python benchmarks/predict_speed.py --states 2048

Candidates are sampled states of TVM's own operators (`te_workload.CONFIGS`, first shape) and of chains, at most
--distinct different ones, repeated up to the number asked for: TVM takes minutes to sample more. "graphs" and "network"
are parts of our `predict`, "features" is the part of stock's that lowers; "first" is our first call for a task, which
also reads what is computed. Ours is the median of --repeats calls, stock's one call. Nothing else should run meanwhile.

Each workload is measured in a process of its own, since stock's featurisation ends the process at some schedules; other
schedules, and fewer, are sampled then. With --results, what was measured is kept, and the next run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.native.builder import make_builder
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.system.machine import describe_machine, describe_versions

CHAINS: dict[str, tuple[int, ...]] = {"attention": (12, 128, 64), "layer_norm": (128, 768), "mlp": (128, 128, 512, 128)}
GPU = (80, 16, 64, 49152, 2**31 - 1, 1024, 8, 32)
"""HardwareParams of a V100, since there may be no GPU here."""

TRAINING_RECORDS = 64
ATTEMPTS = 5


def workload_names() -> list[str]:
    """TVM's operators, then chains."""
    from tvm.meta_schedule.testing.te_workload import CONFIGS

    return [*CONFIGS, *CHAINS]


def task_of(name: str, target: str) -> Any:
    """The search task of a workload; a GPU target gets the limits of GPU."""
    hardware = None if target.startswith("llvm") else require_auto_scheduler().HardwareParams(*GPU)
    return make_task(name, CHAINS.get(name, (0,)), target, hardware)


def sample(task: Any, count: int, seed: int, distinct: int = 256) -> list[Any]:
    """`count` bound-inferred StateObjects, of which at most `distinct` differ."""
    auto_scheduler = require_auto_scheduler()
    size = min(count, distinct)
    policy = auto_scheduler.SketchPolicy(task, verbose=0, seed=seed, params={"sample_init_min_population": size})
    raw = list(policy.sample_initial_population())[:size]
    states = [task.compute_dag.infer_bound_from_state(state).state_object for state in raw]
    return (states * (count // len(states) + 1))[:count]


def train(model: Any, task: Any, states: Sequence[Any], seed: int) -> None:
    """Teaches a model random latencies: what `predict` costs does not depend on them."""
    auto_scheduler = require_auto_scheduler()
    costs = np.random.default_rng(seed).uniform(0.5e-3, 1e-3, len(states))
    model.update(
        [auto_scheduler.MeasureInput(task, state) for state in states],
        [auto_scheduler.MeasureResult([cost], 0, "", 0.1, 0.0) for cost in costs],
    )


def timed(function: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_mib(function: Callable[[], Any]) -> float:
    """MiB that a call adds to the resident memory at its peak; nan where the system does not tell."""
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not clear.exists():
        function()
        return float("nan")

    def field(name: str) -> float:
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name)) / 1024

    clear.write_text("5")  # forgets the peak so far
    before = field("VmRSS")
    function()
    return field("VmHWM") - before


class StockFeatures:
    """Adds up the seconds that stock's `predict` spends in its featurisation."""

    def __init__(self) -> None:
        from tvm.auto_scheduler.cost_model import xgb_model

        self.seconds = 0.0
        inner = xgb_model.get_per_store_features_from_states

        def counting(*args: Any) -> Any:
            start = time.perf_counter()
            result = inner(*args)
            self.seconds += time.perf_counter() - start
            return result

        xgb_model.get_per_store_features_from_states = counting


def measure(name: str, target: str, options: argparse.Namespace) -> dict[str, float]:
    """Seconds, by what was timed, and MiB."""
    from tvm.runtime import convert

    auto_scheduler = require_auto_scheduler()
    task = task_of(name, target)
    states = sample(task, options.states, options.seed, options.distinct)
    features, seed = StockFeatures(), options.seed
    ours = GNNCostModel(pretrained=None, seed=seed)
    stock = auto_scheduler.XGBModel(verbose_eval=0, num_warmup_sample=-1)
    array = convert(states)  # as C++ hands them over
    for model in (ours, stock):
        train(model, task, states[:TRAINING_RECORDS], seed)
    found = {"first": timed(lambda: ours.predict(task, array))}
    builder = make_builder(task)
    graphs = builder.build(array).graphs
    trainer = ours.core.trainer
    times: dict[str, list[float]] = {"graphs": [], "network": [], "ours": []}
    for _ in range(options.repeats):
        times["graphs"].append(timed(lambda: builder.build(array)))
        times["network"].append(timed(lambda: trainer.predict(graphs, task.workload_key)))
        times["ours"].append(timed(lambda: ours.predict(task, array)))
    found |= {what: float(np.median(seconds)) for what, seconds in times.items()}
    found["ours_mib"] = peak_mib(lambda: ours.predict(task, array))
    features.seconds = 0.0
    stock_seconds: list[float] = []
    found["stock_mib"] = peak_mib(lambda: stock_seconds.append(timed(lambda: stock.predict(task, array))))
    return found | {"features": features.seconds, "stock": stock_seconds[0], "ratio": stock_seconds[0] / found["ours"]}


def geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


def measure_apart(name: str, target: str, options: argparse.Namespace) -> dict[str, float]:
    """`measure` in a child process; with fewer and other schedules where that was killed."""
    for attempt in range(ATTEMPTS):
        arguments = ["--one", name, target, "--states", options.states, "--repeats", options.repeats]
        arguments += ["--distinct", options.distinct >> attempt, "--seed", options.seed + attempt]
        child = subprocess.run([sys.executable, __file__, *map(str, arguments)], capture_output=True, text=True)
        if child.returncode == 0:
            found: dict[str, float] = json.loads(child.stdout.splitlines()[-1])
            return found | {"distinct": options.distinct >> attempt}
        if child.returncode > 0:
            raise SystemExit(f"{name} on {target} cannot be measured:\n{child.stderr}")
    raise SystemExit(f"{name} on {target} cannot be measured: stock's featurisation ends the process each time")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workloads", nargs="+", help="default: all")
    parser.add_argument("--targets", nargs="+", default=["llvm -num-cores=2", "cuda -arch=sm_70"])
    parser.add_argument("--distinct", type=int, default=256, help="different schedules among these, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, help="a JSON file of figures, which is completed")
    parser.add_argument("--one", nargs=2, metavar=("WORKLOAD", "TARGET"), help="print one measurement as JSON")
    options = parser.parse_args(argv)
    if options.one:
        name, target = options.one
        print(json.dumps(measure(name, target, options)))
        return 0
    console = Console()
    results: dict[str, dict[str, dict[str, float]]] = {}
    if options.results and options.results.exists():
        results = json.loads(options.results.read_text())["results"]
    for target in options.targets:
        found = results.setdefault(target, {})
        for name in options.workloads or workload_names():
            if name not in found:
                found[name] = measure_apart(name, target, options)
                console.print(f"{name} on {target}: {found[name]['ratio']:.0f}x")
                if options.results:
                    about = {"machine": describe_machine(), "versions": describe_versions(), "states": options.states}
                    options.results.write_text(json.dumps(about | {"results": results}, indent=1) + "\n")
        console.print(table(target, found, options.states))
    ratios = [m["ratio"] for found in results.values() for m in found.values()]
    console.print(f"all: geometric mean {geometric_mean(ratios):.0f}x, least {min(ratios):.0f}x")
    return 0


def table(target: str, found: dict[str, dict[str, float]], states: int) -> Table:
    """The figures of one target."""
    ratios = [m["ratio"] for m in found.values()]
    rows = Table(
        "workload", "stock (s)", "features (s)", "ours (s)", "ratio", "graphs (us)", "network (us)", "first (s)",
        "stock (MiB)", "ours (MiB)", title=f"{states} states on {target} (us a state)",
        caption=f"geometric mean {geometric_mean(ratios):.0f}x, least {min(ratios):.0f}x",
    )  # fmt: skip
    each = 1e6 / states
    for name, m in found.items():
        rows.add_row(
            name, f"{m['stock']:.2f}", f"{m['features']:.2f}", f"{m['ours']:.3f}", f"{m['ratio']:.0f}x",
            f"{m['graphs'] * each:.1f}", f"{m['network'] * each:.1f}", f"{m['first']:.2f}",
            f"{m['stock_mib']:.0f}", f"{m['ours_mib']:.0f}",
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
