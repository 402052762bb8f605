"""Time of MetaSchedule's `predict`, and of a whole search round: GNNCostModel and stock XGBModel, in one run.

    python benchmarks/meta_schedule_predict_speed.py --candidates 512 --out speed.json

Both models have learnt the same 64 records first; what `predict` costs does not depend on what they say. Candidates are
the search's own, at most --distinct different ones, repeated up to the number asked for. "graphs" and "network" are
parts of our `predict`, "features" is the part of stock's (PerStoreFeature, which lowers); "first" is our first call,
which also reads what is computed. Ours is the median of --repeats calls, stock's one call. A search round is one
generation of candidates to measure: sampling, mutating, four generations of scores. Nothing else should run meanwhile.

Results are kept by workload, target and TVM: a second call goes on where the first was stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from rich.console import Console
from rich.table import Table
from tir_exactness import TARGETS, WORKLOADS
from tvm import te

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.meta_schedule import GNNCostModel
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.system.files import write_atomically
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, num_cores
from tvm_gnn_cost.testing.candidates import sample_candidates
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.pretended_measuring import run_results
from tvm_gnn_cost.workloads import find_workload, parse_target

CHOSEN = ("matmul", "conv2d_nhwc", "conv2d_nchw_bias_bn_relu", "softmax_mn", "attention", "layer_norm")
RECORDS = 64
POPULATION, GENERATIONS = 512, 4
"""TVM's own (`EvolutionarySearch`)."""

Result = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=512)
    parser.add_argument("--distinct", type=int, default=256, help="different candidates among these, at most")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--population", type=int, default=POPULATION, help="of the search round; 0: none")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(CHOSEN))
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=["llvm", "cuda"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("meta_schedule_predict_speed.json"))
    options = parser.parse_args(arguments)
    console = Console()
    known = json.loads(options.out.read_text())["results"] if options.out.exists() else {}
    done: dict[str, Result] = known
    for target in options.targets:
        for name in options.workloads:
            key = f"{tvm.__version__} {target} {name} x{options.candidates}, round of {options.population}"
            if key in done:
                continue
            done[key] = {"tvm": tvm.__version__, "target": target, "workload": name} | measure(name, target, options)
            about = {"machine": describe_machine(), "versions": describe_versions(), "results": done}
            write_atomically(options.out, f"{json.dumps(about, indent=1)}\n".encode())
            console.print(f"{key}: {summary(done[key])}")
    console.print(table(list(done.values()), options.candidates))
    return 0


def measure(name: str, target_name: str, options: argparse.Namespace) -> Result:
    """Seconds, by what was timed; why there are none, where TVM makes no candidates."""
    target = parse_target(TARGETS[target_name])
    try:
        with target:
            mod = te.create_prim_func(find_workload(name, WORKLOADS[name]).tensors())
        distinct = sample_candidates(mod, target, min(options.distinct, options.candidates), options.seed)
    except Exception as error:  # TVM's own rules cannot make a schedule of some programs
        return {"unscheduled": f"{type(error).__name__}: {last_line(error)}"[:200]}
    candidates = (distinct * (options.candidates // len(distinct) + 1))[: options.candidates]
    context = ms.TuneContext(mod=mod, target=target, num_threads=num_cores())
    stock = ms.cost_model.XGBModel(num_warmup_samples=1, verbose_eval=0, num_tuning_cores=num_cores())
    stock.extractor = features = TimedFeatures(stock.extractor)
    ours = GNNCostModel(pretrained=None, seed=options.seed)
    records = candidates[:RECORDS]
    for model in (ours, stock):
        model.update(context, records, run_results(random_costs(len(records), options.seed)))
    found: Result = {"distinct": len(distinct)} | time_ours(ours, context, candidates, options.repeats)
    features.seconds = 0.0
    found["stock"] = seconds_of(lambda: stock.predict(context, candidates))
    found["features"] = features.seconds
    found["ratio"] = found["stock"] / found["ours"]
    if options.population:
        for label, model in (("ours_round", ours), ("stock_round", stock)):
            found[label] = search_round(model, mod, target, options)
    return found


def time_ours(model: GNNCostModel, context: Any, candidates: Sequence[Any], repeats: int) -> Result:
    found: Result = {"first": seconds_of(lambda: model.predict(context, candidates))}
    source = make_source(context.mod, context.target)
    graphs = source.build(candidates).graphs
    calls: dict[str, Callable[[], Any]] = {
        "graphs": lambda: source.build(candidates),
        "network": lambda: model.core.trainer.predict(graphs, source.key),
        "ours": lambda: model.predict(context, candidates),
    }
    for what, call in calls.items():
        found[what] = float(np.median([seconds_of(call) for _ in range(repeats)]))
    return found


class TimedFeatures:
    """Stands for an extractor of features, and adds up the seconds that it takes."""

    def __init__(self, extractor: Any) -> None:
        self.seconds, self._extractor = 0.0, extractor

    def extract_from(self, context: Any, candidates: Any) -> Any:
        start = time.perf_counter()
        result = self._extractor.extract_from(context, candidates)
        self.seconds += time.perf_counter() - start
        return result


def search_round(model: Any, mod: Any, target: Any, options: argparse.Namespace) -> float:
    """Seconds in which a search finds the first candidates to measure."""
    search = ms.search_strategy.EvolutionarySearch(population_size=options.population, genetic_num_iters=GENERATIONS)
    context = ms.TuneContext(
        mod=mod,
        target=target,
        space_generator="post-order-apply",
        search_strategy=search,
        task_name="round",
        rand_state=options.seed,
        num_threads=num_cores(),
    )
    spaces = context.generate_design_space()
    context.pre_tuning(64, 64, spaces, database=ms.database.MemoryDatabase(), cost_model=model)
    seconds = seconds_of(context.generate_measure_candidates)
    context.post_tuning()
    return seconds


def seconds_of(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def summary(result: Result) -> str:
    """A line on one result."""
    if "unscheduled" in result:
        return f"no candidates ({result['unscheduled']})"
    both = f", a round {result['ours_round']:.1f} s, stock {result['stock_round']:.1f} s"
    return f"{result['ratio']:.0f}x{both if 'ours_round' in result else ''}"


def table(results: Sequence[Result], count: int) -> Table:
    """A line for each measurement."""
    found = [result for result in results if "ratio" in result]
    ratios = [result["ratio"] for result in found]
    rows = Table(
        "TVM", "target", "workload", "stock (s)", "features (s)", "ours (s)", "ratio", "graphs (us)", "network (us)",
        "first (s)", "round (s)", "stock's round (s)", title=f"{count} candidates (us a candidate)",
        caption=f"geometric mean {np.exp(np.mean(np.log(ratios or [1.0]))):.0f}x, least {min(ratios, default=1.0):.0f}x",
    )  # fmt: skip
    each = 1e6 / count
    for r in found:
        rounds = [f"{r[label]:.1f}" if label in r else "" for label in ("ours_round", "stock_round")]
        rows.add_row(
            r["tvm"], r["target"], r["workload"], f"{r['stock']:.2f}", f"{r['features']:.2f}", f"{r['ours']:.3f}",
            f"{r['ratio']:.0f}x", f"{r['graphs'] * each:.1f}", f"{r['network'] * each:.1f}", f"{r['first']:.2f}",
            *rounds,
        )  # fmt: skip
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
