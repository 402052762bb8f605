"""Logs that older releases of TVM wrote."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tvm.auto_scheduler.measure_record import RecordReader

from tvm_gnn_cost import GNNCostModel, RecordError, make_search_policies
from tvm_gnn_cost.ansor.older_records import without_unknown_options
from tvm_gnn_cost.ansor.record_log import append_records, read_records, repair_log
from tvm_gnn_cost.ansor.task_identity import identity_of
from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.logs.shards import read_logs
from tvm_gnn_cost.testing.costs import random_costs
from tvm_gnn_cost.testing.schedules import measured, sample_states

OLD = "llvm -keys=cpu -link-params=0 -mcpu=core-avx2 -num-cores=4"
NEW = "llvm -keys=cpu -mcpu=core-avx2 -num-cores=4"


@pytest.fixture
def task() -> Any:
    return make_task("matmul", (128, 128, 128), NEW)


@pytest.fixture
def log(task: Any, tmp_path: Path) -> Path:
    """Four records whose target has an option of TVM 0.8."""
    append_records(tmp_path / "log.json", *measured(task, sample_states(task, 4), random_costs(4)))
    return rewrite(tmp_path / "log.json", lambda fields: [fields[0], OLD, *fields[2:]])


def rewrite(path: Path, change: Any) -> Path:
    lines = []
    for line in path.read_text().splitlines():
        record = json.loads(line)
        record["i"][0] = change(record["i"][0])
        lines.append(json.dumps(record))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    "text, known, dropped",
    [
        (OLD, NEW, ["-link-params"]),
        ("llvm -system-lib -mcpu=core-avx2", "llvm -mcpu=core-avx2", ["-system-lib"]),
        ("llvm -runtime c++ -num-cores 4 --executor=aot", "llvm -num-cores 4", ["-runtime", "-executor"]),
        ('{"kind": "llvm", "link-params": false, "mcpu": "core-avx2"}', '{"kind": "llvm", "mcpu": "core-avx2"}',
         ["-link-params"]),
        (NEW, NEW, []),
        ("cuda -keys=cuda,gpu -arch=sm_70 -old=1", "cuda -keys=cuda,gpu -arch=sm_70", ["-old"]),
    ],
)  # fmt: skip
def test_unknown_options_of_a_target_are_dropped_and_named(text: str, known: str, dropped: list[str]) -> None:
    assert without_unknown_options(text) == (known, dropped)


@pytest.mark.parametrize("text", ["sdaccl -model=x", "llvm -num-cores=many", "", "{", "llvm -num-cores=many -old=1"])
def test_a_target_that_cannot_be_made_is_an_error(text: str) -> None:
    with pytest.raises(RecordError, match="TVM cannot make its target"):
        without_unknown_options(text)


def test_every_reader_takes_the_log(task: Any, log: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        records = read_records(log, rebuild=True)
    assert len(records) == 4 and {identity_of(inp.task) for inp in records.inputs} == {identity_of(task)}
    (said,) = [line for line in caplog.messages if "-link-params" in line]
    assert "log.json" in said and OLD in said
    model = GNNCostModel(None, device="cpu", config=TrainerConfig(max_steps_per_update=5))
    model.update_from_file(log, 3)
    assert model.num_records == 3
    (policy,) = make_search_policies([task], model, log, verbose=0)
    assert model.num_records == 7 and policy is not None
    (shard,) = read_logs([log], tmp_path / "graphs")
    assert len(shard) == 4 and shard.tasks[0].key == identity_of(task).key


FORMS: dict[str, Any] = {
    "v0.2": lambda fields: fields[:2],
    "v0.3": lambda fields: fields[:3],
    "v0.4, no host": lambda fields: [*fields[:3], ""],
    "v0.4, a host": lambda fields: [*fields[:3], OLD],
    "v0.5": lambda fields: fields[:5],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_fields_that_a_release_did_not_have_are_those_of_a_new_task(form: Any, task: Any, log: Path) -> None:
    rewrite(log, form)
    records = read_records(log, rebuild=True)
    assert not records.skipped and {identity_of(inp.task) for inp in records.inputs} == {identity_of(task)}


def test_a_log_to_go_on_from_becomes_one_that_tvm_reads(log: Path) -> None:
    before = log.read_text()
    with log.open("a") as file:
        file.write(before.splitlines()[0].replace("llvm", "no_such_kind") + "\n")
    assert repair_log(log) == 1
    assert len(RecordReader(str(log)).read_lines()[0]) == 4 and "-link-params" not in log.read_text()
    assert Path(f"{log}.older").read_text() == before
    assert repair_log(log) == 0


def test_a_target_that_tvm_cannot_make_is_one_bad_line(log: Path) -> None:
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0].replace("llvm", "no_such_kind"), *lines[1:]]) + "\n")
    records = read_records(log)
    ((line, reason),) = records.skipped
    assert (len(records), line) == (3, 1) and "TVM cannot make its target 'no_such_kind" in reason
