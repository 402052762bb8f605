"""`tvm-gnn-cost build`: what it prints and writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tvm

from tvm_gnn_cost.ansor.networks import network_tasks
from tvm_gnn_cost.ansor.record_log import append_records
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.networks import load_network
from tvm_gnn_cost.testing.schedules import measured, sample_states

NETWORK = ["--network", "mlp"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "mlp.json"
    for task in network_tasks(load_network("mlp"))[0][1:]:
        append_records(path, *measured(task, sample_states(task, 1), [1e-3]))
    return path


def test_a_network_is_built_and_said_how(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "mlp.so"
    assert main(["build", *NETWORK, "--log", str(log), "--output", str(output)]) == 0
    text = capsys.readouterr().out
    for part in ("no record", "without a record: fused_nn_dense_add", "outputs agree", "untuned", "ms", str(output)):
        assert part in text
    usage = text.strip().splitlines()[-3:]
    names = {"tvm": tvm, "graph_executor": None}
    usage[-1] = usage[-1].replace("data=...", "data=numpy.zeros((1, 1, 28, 28), 'float32')")
    exec("import numpy, tvm.contrib.graph_executor\n" + "\n".join(usage), names)
    assert names["outputs"][0].shape == (1, 10)  # type: ignore[index]


def test_the_result_as_json(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", *NETWORK, "--log", str(log), "-o", str(tmp_path / "mlp.so"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["inputs"] == {"data": {"shape": [1, 1, 28, 28], "dtype": "float32"}}
    assert result["tasks"][0]["schedule"] == "no record" and len(result["tasks"]) == 4
    assert result["untuned_s"] > 0 and result["tuned_s"] > 0 and result["largest_difference"] < 1e-4


def test_wrong_input_gets_one_clear_line(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["-o", str(tmp_path / "lib.so")]
    for args, message in [
        (["--log", str(log)], "name a network with --network or --model"),
        (
            [*NETWORK, "--batch-size", "2", "--log", str(log)],
            "belongs to a task of mlp; it is the log of another network",
        ),
        ([*NETWORK, "--log", str(tmp_path / "none.json")], "none.json cannot be read"),
    ]:
        assert main(["build", *args, *output]) == 2
        error = capsys.readouterr().err
        assert message in " ".join(error.split())
    assert not (tmp_path / "lib.so").exists()
