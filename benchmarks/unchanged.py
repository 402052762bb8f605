"""What the cost model says of recorded schedules, to the bit: recorded before a change of the code, compared after it.

    python benchmarks/unchanged.py record BEFORE.npz LOG... [--register FILE.py]
    python benchmarks/unchanged.py compare BEFORE.npz AFTER.npz

Of every task of the logs: scores (and so verdicts), latencies, the stages' scores and shares, from the shipped network
and from a cold one; of GPU tasks the verdicts under tight limits as well; what an update learns (its report, the scores
after it, the content of the checkpoint); a search under the learnt model (the schedules that it finds); and for some
tasks a tuning replay (which records are picked, round by round). Only what a user's script can call is called.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from tvm import auto_scheduler

from tvm_gnn_cost import GNNCostModel
from tvm_gnn_cost.ansor.tasks import register_all
from tvm_gnn_cost.workloads import run_definitions

STATES = 80
"""Records of a task, evenly spaced."""

REPLAYED, ROUND, ROUNDS = 5, 16, 4
"""Every so many tasks one is replayed, in so many rounds of so many records."""

TIGHT = (80, 16, 64, 8192, 2**31 - 1, 128, 4, 32)
"""Limits of a GPU that many schedules break, as `HardwareParams` takes them."""

Values = dict[str, NDArray[Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 recorded or equal, 1 different."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    record = commands.add_parser("record")
    record.add_argument("output", type=Path)
    record.add_argument("logs", type=Path, nargs="+")
    record.add_argument("--register", type=Path, action="append", default=[], help="registers workloads of the logs")
    compare = commands.add_parser("compare")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    options = parser.parse_args(arguments)
    console = Console()
    if options.command == "compare":
        return _compare(console, options.before, options.after)
    register_all()
    for path in options.register:
        run_definitions(path)
    values: Values = {}
    states = 0
    for number, log in enumerate(options.logs):
        task, inputs, results = read_log(log)
        states += len(inputs)
        found = observe(task, inputs, results, with_replay=number % REPLAYED == 0)
        values |= {f"{log.parent.name}/{log.name}: {name}": value for name, value in found.items()}
        console.print(f"{number + 1}/{len(options.logs)} {log.name}: {len(inputs)} states", highlight=False)
    np.savez_compressed(options.output, allow_pickle=False, **values)
    console.print(f"{states} states of {len(options.logs)} tasks, {len(values)} arrays: {options.output}")
    return 0


def read_log(path: Path) -> tuple[Any, list[Any], list[Any]]:
    """The task of a log, and some of its records, complete."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
        lines = [line for line in file if line.strip()]
    lines = [lines[i * len(lines) // STATES] for i in range(STATES)] if len(lines) > STATES else lines
    pairs = [auto_scheduler.measure_record.load_record_from_string(line) for line in lines]
    inputs = [auto_scheduler.measure.recover_measure_input(inp, rebuild_state=True) for inp, _ in pairs]
    return inputs[0].task, inputs, [result for _, result in pairs]


def observe(task: Any, inputs: Sequence[Any], results: Sequence[Any], *, with_replay: bool) -> Values:
    """Everything that the model says and does, by name."""
    states = [inp.state for inp in inputs]
    half = len(states) // 2
    values: Values = {}
    for name, model in (("shipped", GNNCostModel(device="cpu")), ("cold", GNNCostModel(None, 3, device="cpu"))):
        values |= {f"{name} {what}": value for what, value in predictions(model, task, states)}
        model.update(inputs[:half], results[:half])
        values |= {f"{name}, learnt, {what}": value for what, value in predictions(model, task, states)}
        values |= {f"{name}, {what}": value for what, value in learnt(model)}
        if name == "shipped":
            values["found"] = search(model, task)
    if task.target.kind.name == "cuda":
        tight = auto_scheduler.SearchTask(
            compute_dag=task.compute_dag,
            workload_key=task.workload_key,
            target=task.target,
            hardware_params=auto_scheduler.HardwareParams(*TIGHT),
        )
        values["verdicts under tight limits"] = np.isfinite(GNNCostModel(device="cpu").predict(tight, states))
    if with_replay:
        values["replay"] = replay(task, inputs, results)
    return values


def predictions(model: GNNCostModel, task: Any, states: Sequence[Any]) -> Iterator[tuple[str, NDArray[Any]]]:
    yield "scores", model.predict(task, states)
    yield "latency", model.predict_latency(task, states)
    yield "stages", model.predict_stages(task, states)
    yield "shares", model.time_shares(task, states[0])


def learnt(model: GNNCostModel) -> Iterator[tuple[str, NDArray[Any]]]:
    """What an update reports, and the content of the checkpoint, as digests."""
    report = model.last_update
    assert report is not None
    fit = report.fit
    yield "report", np.array([report.new_records, report.failed_records, report.skipped_records, fit.steps])
    yield "losses", np.array([report.prequential_accuracy, fit.train_loss, fit.validation_loss])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ckpt"
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in sorted(archive.namelist())}
    meta = json.loads(members.pop("meta.json"))
    members["meta"] = json.dumps({key: meta[key] for key in sorted(meta) if key != "versions"}).encode()
    yield "checkpoint", np.array([f"{name} {hashlib.sha256(data).hexdigest()}" for name, data in members.items()])


def search(model: GNNCostModel, task: Any) -> NDArray[Any]:
    """Digests of the schedules that a seeded search finds under the model."""
    params = {
        "evolutionary_search_population": 64,
        "evolutionary_search_num_iters": 2,
        "sample_init_min_population": 16,
    }
    policy = auto_scheduler.SketchPolicy(task, model, seed=7, params=params, verbose=0)
    found = policy.evolutionary_search(list(policy.sample_initial_population()), 8)
    return np.array([hashlib.sha256(str(state).encode()).hexdigest() for state in found])


def replay(task: Any, inputs: Sequence[Any], results: Sequence[Any]) -> NDArray[np.int64]:
    """Positions of the records in the order in which the shipped network picks and learns them."""
    model = GNNCostModel(device="cpu", seed=1)
    left, picked = list(range(len(inputs))), list[int]()
    for _ in range(ROUNDS):
        scores = model.predict(task, [inputs[i].state for i in left])
        chosen = [left[i] for i in np.argsort(-scores, kind="stable")[:ROUND]]
        picked += chosen
        left = [i for i in left if i not in chosen]
        if not left:
            break
        model.update([inputs[i] for i in chosen], [results[i] for i in chosen])
    return np.array(picked, np.int64)


def _compare(console: Console, before: Path, after: Path) -> int:
    with np.load(before, allow_pickle=False) as a, np.load(after, allow_pickle=False) as b:
        names = [*a.files, *(name for name in b.files if name not in a.files)]
        different = [name for name in names if not (name in a.files and name in b.files and _equal(a[name], b[name]))]
    for name in different:
        console.print(f"different: {name}", highlight=False, soft_wrap=True)
    console.print(f"{len(names)} arrays, {len(different)} different")
    return int(bool(different))


def _equal(x: NDArray[Any], y: NDArray[Any]) -> bool:
    """To the bit: also the sign of zeros and what NaNs hold."""
    return x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()


if __name__ == "__main__":
    sys.exit(main())
