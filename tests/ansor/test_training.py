"""`tvm-gnn-cost train` on recorded logs: what it reads, writes, keeps, refuses, and that it can be stopped."""

from __future__ import annotations

import gzip
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import start

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor import log_shards as training_data
from tvm_gnn_cost.ansor.pools import read_pools
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.graphs.stage_graph import StageGraphBatch
from tvm_gnn_cost.learning import load_checkpoint, pairwise_accuracy
from tvm_gnn_cost.learning.weights import weight_tensors
from tvm_gnn_cost.logs.shards import read_logs
from tvm_gnn_cost.records.store import GraphStore

POOLS = Path(__file__).parents[2] / "benchmarks" / "data" / "emeraldrapids"
NAMES = ("dense-16x1000x1280", "matmul_relu-256x256x256", "softmax_mn-256x256")
RECORDS = 40
QUICK = ["--hidden", "16", "--epochs", "2"]
NEW = ["--start-from", "none", *QUICK]
GPU = "cuda -keys=cuda,gpu -arch=sm_70 -max_num_threads=1024 -thread_warp_size=32"


def recorded_lines(name: str, count: int = RECORDS) -> list[str]:
    """Records of a pool, evenly taken, so that slow and fast ones are among them."""
    lines = gzip.decompress((POOLS / f"{name}.json.gz").read_bytes()).decode().splitlines()
    return [lines[i * len(lines) // count] + "\n" for i in range(count)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    for name in NAMES:
        (folder / f"{name}.json").write_text("".join(recorded_lines(name)))
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stage graphs that the tests share."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def assert_same_checkpoint(a: str | Path, b: str | Path) -> None:
    """Weights, scalers, and the records that are kept."""
    ours, theirs = (load_checkpoint(path, "cpu")[0] for path in (a, b))
    for name, value in weight_tensors(ours).items():
        np.testing.assert_array_equal(value, weight_tensors(theirs)[name], err_msg=name)
    slots = range(len(ours.replay))
    np.testing.assert_array_equal(ours.replay.latency(slots), theirs.replay.latency(slots))
    assert ours.calibration == theirs.calibration


def test_a_network_is_trained_described_and_used(
    recorded: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(recorded), "--start-from", "none", "--hidden", "32", "--epochs", "15", "--seed", "1"]
    command += ["--validation", "0.34", "--keep-records", "50", "--work", str(work), "--output", "out/mine.ckpt"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "3/3 logs, 120 records" in out and "80 records of 2 tasks to learn, 1 held out" in out
    assert "training: epoch 15.0/15" in out and "pairwise 0." in out
    assert 'GNNCostModel(pretrained="out/mine.ckpt")' in out and "out/mine.md" in out

    model = GNNCostModel(pretrained="out/mine.ckpt")
    card = model.card
    assert card is not None and card["kind"] == "cpu" and card["network"]["hidden_dim"] == 32
    data, run = card["data"], card["training"]
    assert (data["records"], data["tasks"], data["workloads"], data["skipped"]) == (120, 3, 3, 0)
    assert data["logs"] == [f"{recorded.name}/{name}.json" for name in NAMES] and len(card["held_out"]) == 1
    assert (run["started_from"], run["epochs"], run["steps"], run["stopped_by"]) == ("nothing", 15, 300, "epochs")
    assert run["seed"] == 1 and run["records_kept"] == 50 and len(run["checks"]) == 15 and not run["guided"]
    (operator,) = set(card["scores"]) - {"all"}
    assert card["scores"]["all"] == card["scores"][operator] and card["scores"]["all"]["records"] == RECORDS
    text = Path("out/mine.md").read_text()
    assert all(words in text for words in (operator, data["digest"], "## Limits", "emeraldrapids", "torch"))
    assert f"{card['scores']['all']['pairwise']:.3f}" in text
    assert "weights were chosen" not in text  # one task decides nothing

    trainer: Any = model.core.trainer
    assert len(trainer.replay) == 50
    for pool in read_pools([recorded]):
        if pool.workload in card["held_out"]:
            assert pool.task not in trainer.replay.tasks_
        else:
            relative = trainer.predict(pool.graphs, pool.task).relative_throughput
            assert pairwise_accuracy(relative, pool.latency) > 0.8


def test_the_same_command_again_reads_and_learns_nothing_anew(
    recorded: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", str(recorded), *NEW, "--work", str(work), "--output"]
    assert main([*command, "a.ckpt"]) == 0
    Path("first.ckpt").write_bytes(Path("a.ckpt").read_bytes())
    monkeypatch.setattr(training_data, "read_record_chunks", lambda *_, **__: pytest.fail("a log was read"))
    assert main([*command, "a.ckpt"]) == 0
    assert_same_checkpoint("a.ckpt", "first.ckpt")
    assert main([*command, "b.ckpt"]) == 0
    assert_same_checkpoint("a.ckpt", "b.ckpt")


def test_graphs_on_disk_equal_those_of_the_logs(recorded: Path, work: Path) -> None:
    shards = read_logs(sorted(recorded.iterdir()), work / "graphs")
    store, pools = GraphStore(shards), list(read_pools([recorded]))
    assert [task.key for task in store.tasks] == [pool.task for pool in pools]
    assert [(t.workload, t.operator, t.target, t.flop) for t in store.tasks] == [
        (pool.workload, pool.operator, pool.target, pool.flop) for pool in pools
    ]
    found, expected = store.gather(range(len(store))), StageGraphBatch.concatenate([pool.graphs for pool in pools])
    for name in ("node_features", "edge_index", "edge_features", "node_ptr", "edge_ptr"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(store.latency(range(len(store))), np.concatenate([pool.latency for pool in pools]))


def test_a_log_is_read_in_chunks_and_again_when_its_graphs_are_damaged_or_outdated(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_data, "RECORDS_AT_A_TIME", 16)
    log = recorded / f"{NAMES[1]}.json"
    read: list[int] = []
    chunks = training_data.read_record_chunks

    def counted(*arguments: Any, **options: Any) -> Any:
        for chunk in chunks(*arguments, **options):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr(training_data, "read_record_chunks", counted)

    def graphs() -> StageGraphBatch:
        read.clear()
        store = GraphStore(read_logs([log], Path("graphs")))
        return store.gather(range(len(store)))

    first = graphs()
    assert read == [16, 16, 8]
    graphs()
    assert read == []
    (folder,) = Path("graphs").iterdir()
    data = bytearray((folder / "node_features.npy").read_bytes())
    data[-1] ^= 255
    (folder / "node_features.npy").write_bytes(data)
    np.testing.assert_array_equal(graphs().node_features, first.node_features)
    assert read == [16, 16, 8]
    monkeypatch.setattr(training_data, "SCHEMA_VERSION", 999)
    graphs()
    assert read == [16, 16, 8] and [path.name for path in Path("graphs").iterdir()] == [folder.name]


def test_bad_records_are_reported_and_the_rest_is_used(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = recorded_lines(NAMES[1], 24)
    failed = json.loads(good[3])
    failed["r"][:2] = [[1e10], 2]
    costless = json.loads(good[4])
    costless["r"][0] = [0.0]
    lines = [good[0][:200] + "\n", json.dumps(costless) + "\n", json.dumps(failed) + "\n", *good, "{}\n"]
    Path("bad.json").write_text("".join(lines))
    Path("copy.json").write_text("".join(lines))
    assert main(["train", "bad.json", "copy.json", *NEW, "--work", str(work), "--output", "m.ckpt"]) == 0
    out, err = capsys.readouterr()
    said = " ".join(err.split())
    assert "bad.json: 25 records used, 3 skipped (line 1: not JSON" in said and "line 2: the measurement holds" in said
    assert "copy.json holds the same as" in said and "no workload is held out" in said
    assert "3 records could not be used" in out and "None were held out" in Path("m.md").read_text()
    card = GNNCostModel(pretrained="m.ckpt").card
    assert card is not None and (card["data"]["skipped"], card["data"]["failed"]) == (3, 1)


def test_logs_of_unknown_workloads_need_their_definitions(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line.replace("tvm_gnn_cost.matmul_relu", "my.matmul_relu") for line in recorded_lines(NAMES[1], 24)]
    Path("mine.json").write_text("".join(lines))
    command = ["train", "mine.json", *NEW, "--work", str(work), "--output", "m.ckpt"]
    assert main(command) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "'my.matmul_relu' is not registered" in err and "none of the 24 records can be used" in err
    assert "--register" in err
    Path("define.py").write_text(
        "from tvm import auto_scheduler\n"
        "from tvm.meta_schedule.testing import te_workload\n"
        "auto_scheduler.register_workload('my.matmul_relu', f=te_workload.matmul_relu, override=True)\n"
    )
    assert main([*command, "--register", "define.py"]) == 0
    card = GNNCostModel(pretrained="m.ckpt").card
    assert card is not None and card["data"]["operators"] == {"my.matmul_relu": [1, 24]}


def test_cpu_and_gpu_logs_are_not_mixed(recorded: Path, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = recorded_lines(NAMES[1], 8)
    target = json.loads(lines[0])["i"][0][1]
    Path("gpu.json").write_text("".join(line.replace(target, GPU) for line in lines))
    command = ["train", str(recorded), "gpu.json", *NEW, "--work", str(work), "--output", "m.ckpt"]
    assert main(command) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "the logs mix CPU records" in err and "emeraldrapids" in err and "sm_70" in err
    assert not Path("m.ckpt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.json"], "missing.json: no such record log"),
        (["LOG", "--epochs", "3", "--minutes", "1"], "either epochs or minutes"),
        (["LOG", "--loss", "mse"], "unknown loss 'mse'; known: hybrid"),
        (["LOG", "--start-from", "gone.ckpt"], "gone.ckpt: no such checkpoint"),
        (["LOG", "--hold-out-operators", "conv9d"], "no task of the operator 'conv9d' to hold out"),
        (["LOG", "--register", "gone.py"], "gone.py"),
        (["LOG", "--device", "tpu"], "device"),
        (["LOG", "--keep-records", "1000000"], "kept_records"),
        (["LOG", "--output", "card.md"], "card.md"),
    ],
)
def test_wrong_input_is_one_message_and_status_2(
    recorded: Path, work: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    log = str(recorded / f"{NAMES[1]}.json")
    words = [log if word == "LOG" else word for word in arguments]
    assert main(["train", "--output", "m.ckpt", "--start-from", "none", "--work", str(work), *words]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert message in err and "Traceback" not in err


def test_training_goes_on_from_a_checkpoint_without_forgetting(
    recorded: Path, work: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = [str(recorded / f"{name}.json") for name in NAMES]
    assert main(["train", *logs[:2], *NEW, "--keep-records", "30", "--work", str(work), "--output", "old.ckpt"]) == 0
    old = load_checkpoint("old.ckpt", "cpu")[0]
    command = ["train", logs[2], "--work", str(work), "--epochs", "2", "--start-from"]
    assert main([*command, "old.ckpt", "--output", "new.ckpt"]) == 0
    new, extra = load_checkpoint("new.ckpt", "cpu")
    assert extra["card"]["training"]["started_from"] == "old.ckpt"
    assert new.config.hidden_dim == 16 and list(new.replay.tasks_)[:2] == list(old.replay.tasks_)
    assert len(new.replay) == 30 + RECORDS and new.records_seen_ == 3 * RECORDS
    assert new.node_scaler.count_ > old.node_scaler.count_

    assert main([*command, "old.ckpt", "--hidden", "8", "--output", "other.ckpt"]) == 2
    assert "hidden_dim 16, and 8 is asked for" in " ".join(capsys.readouterr().err.split())
    monkeypatch.setattr("tvm_gnn_cost.training.train.shipped_checkpoint", lambda kind: Path("old.ckpt"))
    assert main([*command, "auto", "--output", "auto.ckpt"]) == 0
    assert "starting from old.ckpt, shipped" in capsys.readouterr().out
    assert_same_checkpoint("auto.ckpt", "new.ckpt")
    assert main([*command, "auto", "--hidden", "8", "--output", "other.ckpt"]) == 0
    out, err = capsys.readouterr()
    assert "starting from nothing" in out and "does not fit" in err


def run_until(command: list[str], line: str) -> tuple[int, str]:
    """Runs the command line in a process of its own, sends SIGINT at a line that contains `line`; status and output."""
    process = start(command)
    out = ""
    try:
        assert process.stdout is not None
        for said in process.stdout:
            out += said
            if line in said:
                process.send_signal(signal.SIGINT)
                line = "nothing any more"
        return process.wait(timeout=60), out
    finally:
        process.kill()


def test_ctrl_c_and_the_same_command_end_as_if_there_had_been_none(
    recorded: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(recorded), "--start-from", "none", "--hidden", "16", "--epochs", "25", "--device", "cpu"]
    command += ["--validation", "0.34", "--work", str(work)]
    assert main([*command, "--output", "whole.ckpt"]) == 0
    stopped = [*command, "--output", "stopped.ckpt"]
    status, out = run_until(stopped, "epoch 2.0/25")
    assert status == 130 and "the same command goes on" in out and "Traceback" not in out
    assert not Path("stopped.ckpt").exists() and "epoch 25.0/25" not in out

    capsys.readouterr()
    assert main([*stopped, "--seed", "1"]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "cannot be continued" in err and "seed was 0, now it is 1" in err and "--restart" in err
    assert main([*stopped, "--keep-records", "7", "--loss", "rank"]) == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "kept_records was 2000, now it is 7" in err and "loss was 'hybrid', now it is 'rank'" in err

    assert main(stopped) == 0
    out = capsys.readouterr().out
    assert ", at step " in out and "epoch 1.0/25" not in out
    assert_same_checkpoint("stopped.ckpt", "whole.ckpt")
    assert main([*stopped, "--seed", "1", "--restart"]) == 0


def test_ctrl_c_while_logs_are_read(recorded: Path) -> None:
    status, out = run_until(["train", str(recorded), *NEW, "--output", "m.ckpt"], "reading: 0/3")
    assert status == 130 and "the same command goes on" in out and "Traceback" not in out
    assert not Path("m.ckpt").exists()
    graphs = Path("m.work/graphs")
    left = [path.name for path in graphs.iterdir()] if graphs.exists() else []
    assert len(left) < 3 and not any(name.startswith(".") for name in left)
