"""Tune a fused matmul (C = A x B + D) for this CPU: TVM's own auto_scheduler tutorial, with GNNCostModel.

Against the stock script two lines change: the policies are made around our model, and passed to `tune`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tvm
from tvm import auto_scheduler, te

from tvm_gnn_cost import GNNCostModel, make_search_policies
from tvm_gnn_cost.workloads import host_target


@auto_scheduler.register_workload
def matmul_add(n: int, l: int, m: int) -> list[te.Tensor]:  # noqa: E741  (the tutorial's names)
    a = te.placeholder((n, l), name="A")
    b = te.placeholder((l, m), name="B")
    d = te.placeholder((n, m), name="D")
    k = te.reduce_axis((0, l), name="k")
    product = te.compute((n, m), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="matmul")
    out = te.compute((n, m), lambda i, j: product[i, j] + d[i, j], name="out")
    return [a, b, d, out]


def main(argv: Sequence[str] | None = None) -> float:
    """Tune, check the result against numpy, and return the best schedule's latency in seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="rows, columns and depth of the product (default 512)")
    parser.add_argument("--trials", type=int, default=128, help="schedules to measure (default 128)")
    parser.add_argument("--log-file", default="matmul.json", help="the record log (default matmul.json)")
    parser.add_argument("--seed", type=int, default=0, help="of the model and the search (default 0)")
    args = parser.parse_args(argv)
    if Path(args.log_file).exists():
        parser.error(f"{args.log_file} exists; name another --log-file")

    target = host_target()
    task = auto_scheduler.SearchTask(func=matmul_add, args=(args.size,) * 3, target=target)
    options = auto_scheduler.TuningOptions(
        num_measure_trials=args.trials,
        num_measures_per_round=min(64, args.trials),
        runner=auto_scheduler.LocalRunner(repeat=3, min_repeat_ms=50),
        measure_callbacks=[auto_scheduler.RecordToFile(args.log_file)],
        verbose=0,
    )

    # Stock TVM:  auto_scheduler.TaskScheduler([task]).tune(options)
    policies = make_search_policies([task], GNNCostModel(seed=args.seed), seed=args.seed, verbose=0)
    auto_scheduler.TaskScheduler([task], callbacks=[]).tune(options, search_policy=policies)

    schedule, tensors = task.apply_best(args.log_file)
    function = tvm.build(schedule, tensors, target)
    rng = np.random.default_rng(args.seed)
    a, b, d = (rng.standard_normal((args.size, args.size), dtype=np.float32) for _ in range(3))
    device = tvm.cpu()
    buffers = [tvm.nd.array(x, device) for x in (a, b, d, np.empty_like(d))]
    function(*buffers)
    np.testing.assert_allclose(buffers[3].numpy(), a @ b + d, rtol=1e-3, atol=1e-3)

    latency = float(
        np.median(function.time_evaluator(function.entry_name, device, min_repeat_ms=200)(*buffers).results)
    )
    print(f"{latency * 1e3:.3f} ms, {task.compute_dag.flop_ct / latency / 1e9:.1f} GFLOP/s; log: {args.log_file}")
    return latency


if __name__ == "__main__":
    main()
