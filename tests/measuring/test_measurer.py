"""What a `Measurer` does with the process that runs what was built."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest

from tvm_gnn_cost.measuring.measurer import Built, Measurer
from tvm_gnn_cost.measuring.program import COMPILE_DEVICE, Program, Reading
from tvm_gnn_cost.records.tuning_run import MeasureOptions


class Broken:
    """A `Toolchain` all of whose programs, for the device that a candidate names, fail when they are loaded."""

    imports: tuple[str, ...] = ()

    def __init__(self, folder: Path) -> None:
        self._file = str(folder / "built" / "lib.so")

    def build_call(self, candidate: str, _: Callable[..., None]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return str, (candidate,)

    def built(self, candidate: str, _: Any) -> Built:
        return Built(Program(self._file, candidate, [], []), 0, 0.0)

    def result(self, reading: Reading, _: float) -> Reading:
        return reading


@pytest.mark.parametrize(("device", "is_kept"), [("cpu", True), ("cuda", False)])
def test_after_an_error_on_a_gpu_the_next_program_runs_in_a_new_process(
    device: str, is_kept: bool, tmp_path: Path
) -> None:
    """An illegal access makes CUDA refuse whatever else the process asks of it."""
    build: Future[str] = Future()
    build.set_result("")
    found: list[Reading] = []
    before = set(psutil.Process().children())
    with Measurer(MeasureOptions(), [], Broken(tmp_path)) as measurer:
        measurer.measure([device], [build], lambda _, reading: found.append(reading), lambda: None)
        assert bool(set(psutil.Process().children()) - before) == is_kept
    assert [reading.error_no for reading in found] == [COMPILE_DEVICE]
    assert set(psutil.Process().children()) <= before
