"""Draws the pictures in this folder from the best records of the measured pools: python docs/make_pictures.py."""

from __future__ import annotations

from pathlib import Path

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.inspection import inspect_state
from tvm_gnn_cost.ansor.measurements import result_latency
from tvm_gnn_cost.ansor.record_log import read_records, recover
from tvm_gnn_cost.ansor.tasks import register_all
from tvm_gnn_cost.report.formats import format_ms
from tvm_gnn_cost.report.picture.drawing import draw_schedule

HERE = Path(__file__).resolve().parent
POOLS = HERE.parent / "benchmarks" / "data" / "emeraldrapids"

PICTURES = {
    "matmul": ("matmul 384 384 384", "matmul-384x384x384"),
    "conv2d_bn_relu": ("conv2d_nhwc_bn_relu 1 56 56 64 128 3 2 1", "conv2d_nhwc_bn_relu-1x56x56x64x128x3x2x1"),
    "attention": ("attention 12 128 64", "attention-12x128x64"),
}
"""Picture -> title, and the pool whose fastest record is drawn."""


def main() -> None:
    register_all()
    for name, (title, pool) in PICTURES.items():
        log = read_records(POOLS / f"{pool}.json.gz")
        latencies = [result_latency(result) for result in log.results]
        latency, best = min((value, i) for i, value in enumerate(latencies) if value is not None)
        inp = recover(log.inputs[best])
        notes = [str(inp.task.target), f"measured {format_ms(latency)} ms"]
        view = inspect_state(inp.task, inp.state, GNNCostModel(device="cpu"), title=title, notes=notes)
        draw_schedule(view, HERE / f"{name}.svg")


if __name__ == "__main__":
    main()
