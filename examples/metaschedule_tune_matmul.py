"""Tune a fused matmul (C = A x B + D) for this CPU with MetaSchedule and GNNCostModel.

Against a stock script one argument is new: `cost_model=GNNCostModel()`. It runs with TVM 0.19 and with apache-tvm.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import tvm
from tvm import te

from tvm_gnn_cost.meta_schedule import GNNCostModel
from tvm_gnn_cost.workloads import host_target

try:
    from tvm.s_tir import meta_schedule as ms

    to_tensor = tvm.runtime.tensor
except ImportError:  # TVM 0.19
    from tvm import meta_schedule as ms

    to_tensor = tvm.nd.array


def matmul_add(n: int) -> Any:
    """C = A x B + D, each (n, n), as a function of TensorIR."""
    a, b, d = (te.placeholder((n, n), name=name) for name in "ABD")
    k = te.reduce_axis((0, n), name="k")
    product = te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="matmul")
    out = te.compute((n, n), lambda i, j: product[i, j] + d[i, j], name="C")
    return te.create_prim_func([a, b, d, out]).with_attr("global_symbol", "main")


def main(argv: Sequence[str] | None = None) -> float:
    """Tune, check the result against numpy, and return the best schedule's latency in seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="rows, columns and depth of the product (default 512)")
    parser.add_argument("--trials", type=int, default=128, help="schedules to measure (default 128)")
    parser.add_argument("--population", type=int, default=512, help="schedules in a generation (default 512)")
    parser.add_argument("--work-dir", default="matmul", help="for the database and TVM's logs (default matmul)")
    parser.add_argument("--seed", type=int, default=1, help="of the model and the search (default 1)")
    args = parser.parse_args(argv)

    target = host_target()
    module = tvm.IRModule({"main": matmul_add(args.size)})
    database = ms.tune_tir(
        module,
        target,
        work_dir=args.work_dir,
        max_trials_global=args.trials,
        num_trials_per_iter=min(64, args.trials),
        cost_model=GNNCostModel(seed=args.seed),  # Stock TVM:  cost_model="xgb"
        builder=ms.builder.LocalBuilder(timeout_sec=120),  # its processes import TVM for 10 s and more
        strategy=ms.search_strategy.EvolutionarySearch(population_size=args.population),
        runner=ms.runner.LocalRunner(evaluator_config=ms.runner.EvaluatorConfig(repeat=3, min_repeat_ms=50)),
        seed=args.seed,
    )

    schedule = ms.tir_integration.compile_tir(database, module, target)
    if schedule is None:
        raise SystemExit(f"no schedule could be built and run; {args.work_dir}/logs says why")
    function = _compiled(schedule.mod, target)
    rng = np.random.default_rng(args.seed)
    a, b, d = (rng.standard_normal((args.size, args.size), dtype=np.float32) for _ in range(3))
    tensors = [to_tensor(x) for x in (a, b, d, np.empty_like(d))]
    function["main"](*tensors)
    np.testing.assert_allclose(tensors[3].numpy(), a @ b + d, rtol=1e-3, atol=1e-3)

    timer = function.time_evaluator("main", tvm.cpu(), repeat=5, min_repeat_ms=50)
    latency = float(np.median(timer(*tensors).results))
    print(f"{latency * 1e3:.3f} ms, {2 * args.size**3 / latency / 1e9:.1f} GFLOP/s; database: {args.work_dir}")
    return latency


def _compiled(module: Any, target: Any) -> Any:
    """The module as functions that can be called."""
    return tvm.compile(module, target).jit() if hasattr(tvm, "compile") else tvm.build(module, target=target)


if __name__ == "__main__":
    main()
