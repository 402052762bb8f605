"""Training on many records: how fast they are read, written and learnt, and how much memory that takes.

    python benchmarks/train_scale.py FOLDER... --records 1000000 --work DIR --minutes 3 --output FILE

The records of the folders' logs, read once, are repeated under new tasks until there are as many as asked for; what
training costs does not depend on their being new. They are trained on for some minutes, and so are the logs' own alone:
where both are learnt equally fast, nothing waits for the disk. Each training runs in a process of its own. Nothing else
should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tvm_gnn_cost.graphs.schema import EDGE_DIM, NODE_DIM
from tvm_gnn_cost.logs.shards import read_logs
from tvm_gnn_cost.records.logs import find_logs
from tvm_gnn_cost.records.shards import Shard, ShardSource, open_shard, write_shard
from tvm_gnn_cost.records.store import GraphStore
from tvm_gnn_cost.system.machine import describe_machine, describe_versions, timestamp
from tvm_gnn_cost.training.pretraining import PretrainOptions
from tvm_gnn_cost.training.train import TrainOptions, train_network

RECORDS_PER_SHARD = 20_000
"""About as many as the log of a long run holds."""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="of record logs")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=3.0, help="of each training")
    parser.add_argument("--work", type=Path, default=Path("train_scale"), help="for the stage graphs; made anew")
    parser.add_argument("--output", type=Path, help="for the figures, as JSON")
    parser.add_argument("--train", nargs="+", type=Path, help=argparse.SUPPRESS)  # what the processes of their own do
    options = parser.parse_args(argv)
    if options.train:
        print(json.dumps(train(options.train, options.work, options.minutes)))
        return 0
    console = Console()
    shutil.rmtree(options.work, ignore_errors=True)
    options.work.mkdir(parents=True)
    begin = time.perf_counter()
    own = read_logs(find_logs(options.folders), options.work / "own")
    read_s, count = time.perf_counter() - begin, sum(map(len, own))
    console.print(f"{count:,} records of {len(own)} logs read in {read_s:.0f} s: {count / read_s:,.0f} a second")
    begin = time.perf_counter()
    many = repeat(own, options.records, options.work / "many")
    write_s, size = time.perf_counter() - begin, sum(file.stat().st_size for path in many for file in path.iterdir())
    console.print(f"{options.records:,} records written in {write_s:.0f} s: {size / 2**30:.1f} GiB, {len(many)} shards")
    figures = {
        "read_records_per_s": count / read_s,
        "bytes_per_record": size / options.records,
        "written_mib_per_s": size / write_s / 2**20,
    }
    for name, paths in (("own", [shard.path for shard in own]), ("many", many)):
        figures |= {f"{name}_{key}": value for key, value in measured(paths, options.work, options.minutes).items()}
    show(console, figures)
    if options.output:
        made = {"date": timestamp(), "machine": describe_machine(), "versions": describe_versions()}
        options.output.write_text(json.dumps({**figures, "minutes": options.minutes, **made}, indent=1) + "\n")
    shutil.rmtree(options.work / "many")
    return 0


def repeat(shards: Sequence[Shard], records: int, folder: Path) -> list[Path]:
    """Shards that hold so many records: those given, again and again, each time under other tasks."""
    store = GraphStore(shards)
    ids, tasks = store.ids_by_task(), store.tasks
    paths: list[Path] = []
    written = turn = 0
    while written < records:
        path = folder / f"{len(paths):04d}"
        with write_shard(path, ShardSource(path.name, 0, ""), path.name, NODE_DIM, EDGE_DIM) as writer:
            held = 0
            while held < RECORDS_PER_SHARD and written < records:
                copy, number = divmod(turn, len(ids))
                chosen, task = ids[number][: records - written], tasks[number]
                task = replace(task, key=f"{task.key} {copy}", workload=f"{task.workload} {copy}")
                writer.add(task, store.gather(chosen), store.latency(chosen), store.seconds(chosen))
                held, written, turn = held + len(chosen), written + len(chosen), turn + 1
        paths.append(path)
    return paths


def measured(paths: Sequence[Path], work: Path, minutes: float) -> dict[str, float]:
    """What `train` says, in a process of its own."""
    command = [sys.executable, __file__, ".", "--minutes", str(minutes), "--work", str(work)]
    done = subprocess.run([*command, "--train", *map(str, paths)], check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def train(paths: Sequence[Path], work: Path, minutes: float) -> dict[str, float]:
    """Opens shards and trains on them: seconds, records a second and peak memory in MiB."""
    begin = time.perf_counter()
    shards = [open_shard(path, _source_of(path)) for path in paths]
    opened_s = time.perf_counter() - begin
    how_long = PretrainOptions(epochs=None, minutes=minutes, patience=1.0)
    options = TrainOptions(how_long, start_from="none", validation=0.02)
    memory = PeakMemory()
    begin = time.perf_counter()
    result = train_network(shards, work / "made.ckpt", work / "state", options, lambda _: None, restart=True)
    assert result is not None
    total_s = time.perf_counter() - begin
    training, config = result.card["training"], result.card["network"]
    return {
        "records": sum(map(len, shards)),
        "open_s": opened_s,
        "steps": training["steps"],
        "records_per_s": training["steps"] * config["batch_size"] / training["seconds"],
        "around_training_s": total_s - training["seconds"],
        "peak_own_mib": memory.peak_mib(),
        "arrays_mib": sum(_held_mib(shard) for shard in shards),
    }


class PeakMemory:
    """The most memory that this process has of its own: what is mapped from files, the system takes back at will."""

    def __init__(self) -> None:
        self._peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def peak_mib(self) -> float:
        self._done.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            lines = Path("/proc/self/status").read_text().splitlines()
            own = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self._peak = max(self._peak, own / 2**10)


def _source_of(path: Path) -> ShardSource:
    return ShardSource(**json.loads((path / "shard.json").read_text())["source"])


def _held_mib(shard: Shard) -> float:
    """Of the arrays that an open shard keeps in memory."""
    arrays = (shard.node_ptr, shard.edge_ptr, shard.latency, shard.seconds, shard.task)
    return float(sum(array.nbytes for array in arrays)) / 2**20


def show(console: Console, figures: dict[str, float]) -> None:
    table = Table("", "the logs' own", "many")
    for name in ("records", "open_s", "steps", "records_per_s", "around_training_s", "arrays_mib", "peak_own_mib"):
        table.add_row(name, *(f"{figures[f'{whose}_{name}']:,.1f}" for whose in ("own", "many")))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
