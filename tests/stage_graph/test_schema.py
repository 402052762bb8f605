"""What is generated from Python is up to date, and what it says of processors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from schedules import GPU_HARDWARE, make_task

from tvm_gnn_cost.stage_graph import schema
from tvm_gnn_cost.stage_graph.hardware_of import hardware_of
from tvm_gnn_cost.stage_graph.processors import CPUS, GPUS, UNKNOWN_CPU, UNKNOWN_GPU, processor


@pytest.mark.parametrize(
    "script", ["native/graphs/generate_schema.py", "native/ansor/generate_type_keys.py", "docs/generate_features.py"]
)
def test_generated_files_are_up_to_date(script: str) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    command = [sys.executable, str(Path(__file__).parents[2] / script), "--check"]
    assert subprocess.run(command, env=environment).returncode == 0


def test_names_are_unique() -> None:
    for features in (schema.NODE_FEATURES, schema.EDGE_FEATURES):
        assert len({feature.name for feature in features}) == len(features)


@pytest.mark.parametrize(
    ("name", "is_gpu", "expected"),
    [
        ("znver4", False, CPUS["znver4"]),
        ("skylake", False, CPUS["skylake"]),  # and not what follows the other lakes
        ("icelake-server", False, CPUS["icelake?server"]),
        ("neoverse-n1", False, CPUS["neoverse-*"]),
        ("sm_70", True, GPUS["sm_7[02]"]),
        ("gfx906", True, GPUS["gfx90?"]),
        ("pentium3", False, UNKNOWN_CPU),
        ("", False, UNKNOWN_CPU),
        ("", True, UNKNOWN_GPU),
    ],
)
def test_processor_of_a_name(name: str, is_gpu: bool, expected: object) -> None:
    assert processor(name, is_gpu) is expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("llvm -mcpu=cortex-a53", (512, 2**15, 2**19, 2**19)),  # no L3
        ("llvm -mcpu=apple-m1", (512, 2**17, 2**24, 2**24)),  # an L3 smaller than the L2
        ("cuda -arch=sm_80", (1020, 192 * 2**10, 40 * 2**20, 40 * 2**20)),  # no L3
        ("llvm -mcpu=haswell", (512, 2**15, 2**18, 30 * 2**20)),
    ],
)
def test_a_cache_level_never_holds_less_than_the_one_before_it(target: str, expected: tuple[int, ...]) -> None:
    assert hardware_of(make_task("matmul", target)).cache_bytes == expected


def test_hardware_of_a_task() -> None:
    task = make_task("matmul", "llvm -mcpu=haswell")
    cpu = hardware_of(task)
    assert (cpu.is_gpu, cpu.cores, cpu.simd_bytes) == (False, task.hardware_params.num_cores, 32)
    assert cpu.cache_bytes == (512, 2**15, 2**18, 30 * 2**20)
    gpu = hardware_of(make_task("matmul", "cuda -arch=sm_80"))
    assert (gpu.is_gpu, gpu.cores, gpu.max_threads) == (True, 80, GPU_HARDWARE.max_threads_per_block)
    assert gpu.processor is GPUS["sm_80"]
