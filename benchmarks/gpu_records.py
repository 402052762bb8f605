"""GPU records that others measured: `DEVICE/OPERATOR/SHAPE.json.gz`, and a `workloads.py` that registers the workloads.

    python benchmarks/gpu_records.py FOLDER --output OUT
    tvm-gnn-cost evaluate OUT/v100 --register FOLDER/workloads.py

writes `OUT/DEVICE/OPERATOR-SHAPE.json.gz`. The records' targets do not say what they were measured on, which is what
tells the devices' tasks apart: the architecture is written in.
"""

from __future__ import annotations

import argparse
import gzip
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from tvm_gnn_cost.ansor.pools import MeasuredStates, read_states
from tvm_gnn_cost.errors import RecordError
from tvm_gnn_cost.records.logs import even_sample
from tvm_gnn_cost.records.pool import Pool
from tvm_gnn_cost.workloads import run_definitions

ARCHITECTURES = {"k80": "sm_37", "v100": "sm_70"}
"""By device folder; of other devices the target stays as it is."""


def gpu_logs(folder: Path, tasks: int | None = None) -> list[Path]:
    """The logs of a folder of GPU records; of a number of them, an even share of every device and operator."""
    logs = sorted(folder.glob("*/*/*.json*"))
    if not logs:
        raise RecordError(f"{folder} holds no DEVICE/OPERATOR/SHAPE.json.gz")
    groups: dict[Path, list[Path]] = {}
    for path in logs:
        groups.setdefault(path.parent, []).append(path)
    # The smallest groups first, so that what they lack falls to the larger ones.
    left, chosen = len(logs) if tasks is None else tasks, []
    for i, (_, paths) in enumerate(sorted(groups.items(), key=lambda item: (len(item[1]), item[0]))):
        take = min(len(paths), left // (len(groups) - i))
        chosen += even_sample(paths, take)
        left -= take
    return sorted(chosen)


def write_log(path: Path, output: Path, records: int | None = None) -> Path:
    """Writes a log's records, at most so many, evenly taken, under `output` with their architecture; the new log."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode(errors="replace")
    lines = [line for line in text.splitlines(keepends=True) if line.strip()]
    if records is not None:
        lines = even_sample(lines, records)
    device, operator = path.parent.parent.name, path.parent.name
    if device in ARCHITECTURES:
        lines = [re.sub(r'"cuda (?!.*-arch)', f'"cuda -arch={ARCHITECTURES[device]} ', line, count=1) for line in lines]
    written = output / device / f"{operator}-{path.name.removesuffix('.gz')}.gz"
    written.parent.mkdir(parents=True, exist_ok=True)
    written.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    return written


def read_gpu_states(folder: Path, tasks: int | None = None, records: int | None = None) -> Iterator[MeasuredStates]:
    """GPU records by device, operator and shape; of each task at most so many, evenly taken from its log."""
    run_definitions(folder / "workloads.py")
    with tempfile.TemporaryDirectory() as temporary:
        for path in gpu_logs(folder, tasks):
            yield from read_states([write_log(path, Path(temporary), records)])


def read_gpu_pools(folder: Path, tasks: int | None = None, records: int | None = None) -> Iterator[Pool]:
    """`read_gpu_states` as stage graphs."""
    for measured in read_gpu_states(folder, tasks, records):
        yield measured.pool()[0]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the records")
    parser.add_argument("--output", type=Path, required=True, help="where to write the logs")
    parser.add_argument("--tasks", type=int, help="of all tasks so many, evenly taken (default: all)")
    parser.add_argument("--records", type=int, help="of a task so many records, evenly taken (default: all)")
    options = parser.parse_args(argv)
    console = Console()
    logs = gpu_logs(options.folder, options.tasks)
    for path in track(logs, "logs", console=console):
        write_log(path, options.output, options.records)
    console.print(f"{len(logs)} logs in {options.output}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
