"""Proves that MetaSchedule's candidates are read as they are: iterations, regions, operations, features.

    python benchmarks/tir_exactness.py --candidates 16 --out exactness.json

Samples candidates of every workload on every target, as the search does, and checks each against the program itself
(`tvm_gnn_cost.testing.tir_checks`). Results are kept by workload, target and TVM: a second call goes on where the first
was stopped, and one with another TVM adds its own. Exits with 1 if a property is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import tvm
from tvm import te

from tvm_gnn_cost.errors import last_line
from tvm_gnn_cost.meta_schedule.source import make_source
from tvm_gnn_cost.system.files import write_atomically
from tvm_gnn_cost.testing.candidates import sample_candidates
from tvm_gnn_cost.testing.tir_checks import PROPERTIES, check_candidates
from tvm_gnn_cost.workloads import find_workload, parse_target

TARGETS = {
    "llvm": "llvm -num-cores=4 -mcpu=core-avx2",
    "vnni": "llvm -num-cores=4 -mcpu=cascadelake",
    "cuda": "nvidia/nvidia-a100",
    "cuda-sm_61": "nvidia/geforce-gtx-1080-ti",
}
WORKLOADS: dict[str, tuple[Any, ...]] = {
    "matmul": (128, 128, 128),
    "matmul_relu": (256, 64, 512),
    "dense": (100, 60, 300),
    "dense_relu": (64, 256, 128),
    "dense_int8": (64, 128, 256),
    "batch_matmul_nkkm": (4, 64, 64, 64),
    "transpose_batch_matmul": (1, 64, 4, 32),
    "mlp": (64, 64, 128, 64),
    "attention": (4, 64, 32),
    "conv2d_nchw": (1, 28, 28, 32, 64, 3, 3, 1, 1),
    "conv2d_nhwc": (1, 28, 28, 32, 64, 3, 2, 1),
    "conv2d_nchw_bias_bn_relu": (1, 14, 14, 32, 64, 3, 3, 1, 1),
    "conv2d_nchwc": (1, 32, 14, 14, 64, 3, 1, 1),
    "conv2d_transpose_nhwc": (1, 8, 8, 32, 16, 4, 2, 1),
    "conv2d_capsule_nhwijc": (1, 8, 8, 8, 16, 3, 1, 1),
    "conv1d_nlc": (1, 64, 32, 64, 3, 2, 1),
    "conv3d_ndhwc": (1, 4, 14, 14, 16, 32, 3, 1, 1),
    "depthwise_conv2d_nhwc": (1, 28, 28, 32, 3, 1, 1),
    "grouped_conv2d_nchw": (1, 32, 14, 14, 32, 3, 1, 1, 4),
    "separable_conv2d": (1, 28, 28, 16, 32, 3, 1),
    "upsample_conv2d": (1, 16, 14, 14, 32, 3),
    "bottleneck_nhwc": (1, 14, 14, 64, 16),
    "max_pool2d_nchw": (1, 28, 28, 32, 1),
    "global_average_pool": (1, 64, 14, 14),
    "squeeze_excite": (1, 32, 14, 14, 8),
    "softmax_mn": (256, 128),
    "log_softmax": (64, 256),
    "masked_softmax": (4, 32, 64),
    "layer_norm": (64, 256),
    "rms_norm": (64, 256),
    "norm_bmn": (1, 256, 256),
    "reduce_rows": (64, 1024),
    "reduce_columns": (1024, 64),
    "column_deviations": (256, 64),
    "elementwise_chain": (256, 256),
    "transpose_add": (128, 256),
    "box_blur": (64, 64, 2),
    "lstm_cell": (8, 64, 64),
    "rotary_embedding": (4, 64, 32),
    "pixel_shuffle": (1, 16, 14, 14, 2),
}


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0 all as it should be, 1 a property is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=8, help="of each workload and target (default: %(default)s)")
    parser.add_argument("--targets", nargs="+", choices=list(TARGETS), default=["llvm", "cuda"])
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    parser.add_argument("--programs", type=int, default=0, help="random programs beside them (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the search and the programs (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("tir_exactness.json"), help="default: %(default)s")
    options = parser.parse_args(arguments)
    done: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    chosen = [(name, WORKLOADS[name]) for name in options.workloads]
    chosen += [("random_program", (options.seed + i, 8 + i % 7)) for i in range(options.programs)]
    for target in options.targets:
        for name, arguments_of in chosen:
            label = " ".join(map(str, [name, *arguments_of]))
            key = f"{tvm.__version__} {target} {label} x{options.candidates} seed {options.seed}"
            if key in done:
                continue
            done[key] = {"tvm": tvm.__version__, "target": target, "workload": label}
            done[key] |= prove(name, arguments_of, TARGETS[target], options.candidates, options.seed)
            write_atomically(options.out, f"{json.dumps(done, indent=1)}\n".encode())
            print(f"{target} {label}: {summary(done[key])}", flush=True)
    print(table(list(done.values())))
    return int(any(result.get("broken") for result in done.values()))


def prove(name: str, arguments: tuple[Any, ...], target_text: str, count: int, seed: int) -> dict[str, Any]:
    """What was found of one workload on one target, as JSON; why there is nothing, where TVM makes no candidates."""
    target = parse_target(target_text)
    try:
        with target:
            mod = te.create_prim_func(find_workload(name, arguments).tensors())
        candidates = sample_candidates(mod, target, count, seed)
    except Exception as error:  # TVM's own rules cannot make a schedule of some programs
        return {"unscheduled": f"{type(error).__name__}: {last_line(error)}"[:200]}
    if not candidates:
        return {"unscheduled": "the search finds no schedule that its postprocessors accept"}
    checked = check_candidates(make_source(mod, target), candidates, seed)
    return {"counts": dict(checked.counts), "broken": dict(checked.broken), "faults": checked.faults}


def summary(result: dict[str, Any]) -> str:
    """A line on one result."""
    if "unscheduled" in result:
        return f"no candidates ({result['unscheduled']})"
    counts, broken = result["counts"], result["broken"]
    return f"{counts['candidates']} candidates, {counts['regions']} regions: " + (
        ", ".join(f"{what} broken {n}x: {dict(result['faults'])[what]}" for what, n in broken.items()) or "all right"
    )


def table(results: list[dict[str, Any]]) -> str:
    """A line for each TVM and target."""
    columns = ("candidates", "blocks", "loops", "inexact", "regions", "estimated", "estimated alike", "cut", "called")
    lines = [" ".join([f"{'tvm':14}{'target':12}{'workloads':>10}", *(f"{c:>15}" for c in columns), "  broken"])]
    for tvm_version, target in sorted({(r["tvm"], r["target"]) for r in results}):
        rows = [r for r in results if (r["tvm"], r["target"]) == (tvm_version, target) and "counts" in r]
        counts: Counter[str] = Counter()
        broken: Counter[str] = Counter()
        for row in rows:
            counts.update(row["counts"])
            broken.update(row["broken"])
        found = ", ".join(f"{broken[p]} {p}" for p in PROPERTIES if broken[p]) or "none"
        cells = [f"{tvm_version:14}{target:12}{len(rows):>10}", *(f"{counts[c]:>15}" for c in columns), f"  {found}"]
        lines.append(" ".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
