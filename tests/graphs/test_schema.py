"""What is generated from Python is up to date, and what it says of processors."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tvm_gnn_cost.graphs import schema
from tvm_gnn_cost.graphs.processors import CPUS, GPUS, UNKNOWN_CPU, UNKNOWN_GPU, processor


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
