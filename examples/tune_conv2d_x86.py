"""Tune a fused convolution (conv2d, bias, ReLU, as in ResNet) for this CPU, with GNNCostModel.

Shows a shared log too: with --resume the model learns what the log holds, and no schedule is measured twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tvm
from tvm import auto_scheduler, te, topi
from tvm.topi.testing import conv2d_nchw_python

from tvm_gnn_cost import GNNCostModel, make_search_policies
from tvm_gnn_cost.workloads import host_target


@auto_scheduler.register_workload
def conv2d_bias_relu(
    n: int, h: int, w: int, co: int, ci: int, kh: int, kw: int, stride: int, padding: int
) -> list[te.Tensor]:
    data = te.placeholder((n, ci, h, w), name="data")
    kernel = te.placeholder((co, ci, kh, kw), name="kernel")
    bias = te.placeholder((1, co, 1, 1), name="bias")
    conv = topi.nn.conv2d_nchw(data, kernel, stride, padding, dilation=1, out_dtype="float32")
    return [data, kernel, bias, topi.nn.relu(conv + bias)]


def main(argv: Sequence[str] | None = None) -> float:
    """Tune, check the result against a reference, and return the best schedule's latency in seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=28, help="height and width of the image (default 28)")
    parser.add_argument("--channels", type=int, default=128, help="input and output channels (default 128)")
    parser.add_argument("--trials", type=int, default=128, help="schedules to measure (default 128)")
    parser.add_argument("--log-file", default="conv2d.json", help="the record log (default conv2d.json)")
    parser.add_argument("--resume", action="store_true", help="go on from the log file")
    parser.add_argument("--seed", type=int, default=0, help="of the model and the search (default 0)")
    args = parser.parse_args(argv)
    if Path(args.log_file).exists() and not args.resume:
        parser.error(f"{args.log_file} exists; name another --log-file, or --resume")

    target = host_target()
    shape = (1, args.size, args.size, args.channels, args.channels, 3, 3, 1, 1)
    task = auto_scheduler.SearchTask(func=conv2d_bias_relu, args=shape, target=target)
    options = auto_scheduler.TuningOptions(
        num_measure_trials=args.trials,
        num_measures_per_round=min(64, args.trials),
        runner=auto_scheduler.LocalRunner(repeat=3, min_repeat_ms=50),
        measure_callbacks=[auto_scheduler.RecordToFile(args.log_file)],
        verbose=0,
    )

    # Stock TVM:  auto_scheduler.TaskScheduler([task]).tune(options)
    history = args.log_file if args.resume and Path(args.log_file).exists() else None
    policies = make_search_policies(
        [task], GNNCostModel(seed=args.seed), load_log_file=history, seed=args.seed, verbose=0
    )
    scheduler = auto_scheduler.TaskScheduler([task], load_log_file=history, callbacks=[])
    scheduler.tune(options, search_policy=policies)

    schedule, tensors = task.apply_best(args.log_file)
    function = tvm.build(schedule, tensors, target)
    rng = np.random.default_rng(args.seed)
    data = rng.standard_normal((1, args.channels, args.size, args.size), dtype=np.float32)
    kernel = rng.standard_normal((args.channels, args.channels, 3, 3), dtype=np.float32)
    bias = rng.standard_normal((1, args.channels, 1, 1), dtype=np.float32)
    expected = np.maximum(conv2d_nchw_python(data, kernel, 1, 1) + bias, 0)
    device = tvm.cpu()
    buffers = [tvm.nd.array(x, device) for x in (data, kernel, bias, np.empty_like(expected))]
    function(*buffers)
    np.testing.assert_allclose(buffers[3].numpy(), expected, rtol=1e-3, atol=1e-2)

    latency = float(
        np.median(function.time_evaluator(function.entry_name, device, min_repeat_ms=200)(*buffers).results)
    )
    print(f"{latency * 1e3:.3f} ms, {task.compute_dag.flop_ct / latency / 1e9:.1f} GFLOP/s; log: {args.log_file}")
    return latency


if __name__ == "__main__":
    main()
