"""Reads damaged files of every kind that the package reads: no crash, no hang, nothing executed, memory bounded.

    python benchmarks/fuzz_files.py --inputs 1000000 --jobs 2 --output fuzz.json

A damaged file is a real one in which bits, numbers, names, brackets or whole pieces were changed, seeded. What may
come of it: it is read (lines that are no good are left out), or a TVMGNNCostError says what is wrong. Everything else
is a finding: another exception, the death of the process, more than `SECONDS` or `MEMORY_MIB` for one file, and what an
audit hook sees that reading has no business with (a program started, a connection, a pickle's class, a file written
elsewhere). A finding names its seed; `--kind K --first SEED --inputs 1` makes it again.

Logs need auto_scheduler, databases today's apache-tvm; kinds that cannot be read are left out.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from tvm_gnn_cost.errors import TVMGNNCostError

DATA = Path(__file__).parent / "data"
RESULTS = Path(__file__).parent / "results"
SECONDS = 20
"""For one file; its process is killed after three times as long."""
MEMORY_MIB = 1024
"""Beyond what the process has before the first file."""

TOKENS = (
    b"1e999", b"-1", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"9" * 40, b"9" * 400, b"[" * 100_000, b"0.5",
    b"\x00", b"\xff\xfe", b"2147483648", b"-9223372036854775809", b'"\\ud800"', b"\n", b"\r\n", b",", b":", b"Infinity",
    b"1e308", b"4194304",
)  # fmt: skip
"""What JSON readers trip over."""

FORBIDDEN = (
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "socket.connect",
    "pickle.find_class",
    "shutil.rmtree",
)
"""Events of Python's audit hook that no reading of a file may cause."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: real ones, by where they lie in their folder, which of them is damaged, and what reads it."""

    files: dict[str, bytes]
    damaged: str
    read: Callable[[Path], object]
    packed: str = ""
    """"gzip" or "zip": half of the damages are made inside."""


def _log(folder: Path) -> object:
    from tvm_gnn_cost.ansor.record_log import read_records

    return read_records(folder / "log.json")


def _repaired(folder: Path) -> object:
    from tvm_gnn_cost.ansor.record_log import repair_log

    return repair_log(folder / "log.json")


def kinds() -> dict[str, Kind]:
    """What this environment can read."""
    from tvm_gnn_cost.evaluation.results import ResultsFile
    from tvm_gnn_cost.evaluation.split import read_split
    from tvm_gnn_cost.evaluation.summary import load_summary
    from tvm_gnn_cost.learning.checkpoint import load_checkpoint
    from tvm_gnn_cost.learning.starting import shipped_checkpoint
    from tvm_gnn_cost.records import description
    from tvm_gnn_cost.records.comparison import Comparison
    from tvm_gnn_cost.records.databases import read_record_lines, read_workload_lines
    from tvm_gnn_cost.records.graph_file import read_graph_file
    from tvm_gnn_cost.records.saved_tasks import load_saved_tasks
    from tvm_gnn_cost.system.find_tvm import has_auto_scheduler

    lines = gzip.open(DATA / "zen4_generated" / "random_program-20443x20x1.json.gz", "rb").read().splitlines(True)
    log = b"".join(lines[:4])
    database = DATA / "metaschedule" / "matmul-384x384x384"
    if not database.is_dir():
        database = next(p for p in sorted((DATA / "metaschedule").iterdir()) if (p / "graphs.npz").is_file())
    tables = {
        name: b"".join(gzip.open(database / f"{name}.gz", "rb").read().splitlines(True)[:3])
        for name in ("database_workload.json", "database_tuning_record.json")
    }
    shipped = shipped_checkpoint("cpu")
    assert shipped is not None
    checkpoint = shipped.read_bytes()
    about = next((DATA / "zen4_generated" / "about").glob("*20443*.json")).read_bytes()
    tasks = _task_file()
    evaluation = (RESULTS / "evaluation" / "curve.json").read_bytes()
    comparison = _short_comparison()
    results = b'{"key": "a", "values": {"learnt": 1}}\n{"key": "b", "values": {"scores": [1.0, null]}}\n'
    split = (DATA / "split.json").read_bytes()
    found = {
        "split": Kind({"split.json": split}, "split.json", lambda f: read_split(f / "split.json")),
        "comparison": Kind({"c.json": comparison}, "c.json", lambda f: Comparison.load(f / "c.json")),
        "evaluation": Kind({"e.json": evaluation}, "e.json", lambda f: load_summary(f / "e.json")),
        "results": Kind({"r.jsonl": results}, "r.jsonl", lambda f: ResultsFile(f / "r.jsonl")),
        "description": Kind(
            {"log.json": log, "about/log.json": about}, "about/log.json", lambda f: description.load(f / "log.json")
        ),
        "tasks": Kind(
            {"log.json": log, "log.tasks.json": tasks}, "log.tasks.json", lambda f: load_saved_tasks(f / "log.json")
        ),
        "workload lines": Kind(
            tables, "database_workload.json", lambda f: list(read_workload_lines(f / "database_workload.json"))
        ),
        "record lines": Kind(
            tables, "database_tuning_record.json", lambda f: list(read_record_lines(f / "database_tuning_record.json"))
        ),
        "graphs": Kind(
            {"graphs.npz": (database / "graphs.npz").read_bytes()},
            "graphs.npz",
            lambda f: read_graph_file(f / "graphs.npz"),
            packed="zip",
        ),
        "checkpoint": Kind(
            {"m.ckpt": checkpoint}, "m.ckpt", lambda f: load_checkpoint(f / "m.ckpt", "cpu"), packed="zip"
        ),
    }
    if has_auto_scheduler():
        found["log"] = Kind({"log.json": log}, "log.json", _log)
        found["gzipped log"] = Kind({"log.json": gzip.compress(log)}, "log.json", _log, packed="gzip")
        found["repaired log"] = Kind({"log.json": log}, "log.json", _repaired)
        found["schedule index"] = _schedule_index(log)
    else:
        from tvm_gnn_cost.meta_schedule.database import read_database

        for name in tables:
            found[f"database, {name}"] = Kind(tables, name, lambda f: read_database(f))
    return found


def _task_file() -> bytes:
    from tvm_gnn_cost.records.saved_tasks import SavedTask, save_tasks

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.tasks.json"
        save_tasks(path, [SavedTask("[1]", "a", 1.0, 1e9, "llvm", "net", "[]", "{}")], keep=False)
        return path.read_bytes()


def _short_comparison() -> bytes:
    """One of the repository's, with a few trials of each run."""
    data = json.loads((RESULTS / "tuning_seconds" / "layer_norm_512_512.json").read_text())
    for run in data["runs"]:
        run["trials"] = run["trials"][:4]
    return json.dumps(data, indent=1).encode()


def _schedule_index(log: bytes) -> Kind:
    from tvm_gnn_cost.ansor.record_log import read_records, recover
    from tvm_gnn_cost.ansor.schedules.database import ScheduleDatabase
    from tvm_gnn_cost.ansor.tasks import register_all

    register_all()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log.json").write_bytes(log)
        records = read_records(Path(folder) / "log.json")
        inputs = [recover(inp) for inp in records.inputs]
        ScheduleDatabase(Path(folder) / "db").add(inputs, records.results)
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in (Path(folder) / "db").rglob("*")
            if path.is_file()
        }
    index = next(name for name in files if name.endswith((".sqlite", ".sqlite3", ".db")))
    task = inputs[0].task
    return Kind(files, index, lambda f: ScheduleDatabase(f / "db").nearest(task))


def damage(content: bytes, seed: int, packed: str) -> bytes:
    """The content with one to four damages; of what is packed, every second time inside."""
    rng = np.random.default_rng(seed)
    if packed and seed % 2:
        return _repack(content, rng, packed)
    return _damaged(content, rng)


def _repack(content: bytes, rng: np.random.Generator, packed: str) -> bytes:
    if packed == "gzip":
        return gzip.compress(_damaged(gzip.decompress(content), rng), 1)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        hit = names[int(rng.integers(len(names)))]
        for name in names:
            data = old.read(name)
            new.writestr(name, _damaged(data, rng) if name == hit else data)
    return out.getvalue()


def _damaged(content: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        if not data:
            break
        at = int(rng.integers(len(data)))
        # headers and short numbers are where readers decide: half of the damages are near the beginning
        at = at if rng.random() < 0.5 else min(at, int(rng.integers(min(len(data), 4096))))
        size = int(rng.integers(1, 64))
        kind = int(rng.integers(7))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.integers(256))
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + size]
        elif kind == 4:
            data[at:at] = data[at : at + size] * int(rng.integers(1, 40))
        elif kind == 5:
            data[at : at + int(rng.integers(0, 8))] = TOKENS[int(rng.integers(len(TOKENS)))]
        else:
            begin, end = _number(data, at)
            data[begin:end] = TOKENS[int(rng.integers(len(TOKENS)))]
    return bytes(data)


def _number(data: bytearray, at: int) -> tuple[int, int]:
    """The next number from a place on; an empty range where there is none near."""
    begin = at
    while begin < min(len(data), at + 200) and not 48 <= data[begin] <= 57:
        begin += 1
    end = begin
    while end < len(data) and (48 <= data[end] <= 57 or data[end] in b".eE+-"):
        end += 1
    return begin, end


class _TooLong(BaseException):
    """A file took longer than `SECONDS`."""


def work(kind_name: str, first: int, count: int, report: Path) -> None:
    """Read `count` damaged files, and append a line to the report for each finding, and one for where it is."""
    logging.disable(logging.CRITICAL)
    kind = kinds()[kind_name]
    root = Path(tempfile.mkdtemp(prefix="fuzz"))
    seen: list[str] = []

    def hook(event: str, arguments: Any) -> None:
        if event in FORBIDDEN:
            seen.append(f"{event} {str(arguments)[:80]}")
        elif event == "open" and isinstance(arguments[0], str) and arguments[1] and set(arguments[1]) & set("wax+"):
            if not os.path.realpath(arguments[0]).startswith((str(root), "/dev/null", str(report))):
                seen.append(f"written: {arguments[0]}")

    def too_long(*_: object) -> None:
        raise _TooLong

    folder = root / "f"
    _write(folder, kind.files)
    kind.read(folder)  # what is not damaged is read without an error; libraries are loaded
    _limit_memory()
    sys.addaudithook(hook)
    signal.signal(signal.SIGALRM, too_long)
    outcomes: Counter[str] = Counter()
    slowest = 0.0
    with open(report, "a", buffering=1) as out:
        for seed in range(first, first + count):
            out.write(json.dumps({"at": seed}) + "\n")
            _write(folder, {kind.damaged: damage(kind.files[kind.damaged], seed, kind.packed)}, kind.files)
            seen.clear()
            begin = time.perf_counter()
            signal.alarm(SECONDS)
            finding = ""
            try:
                kind.read(folder)
                outcome = "read"
            except TVMGNNCostError as error:
                outcome = type(error).__name__
            except _TooLong:
                outcome = finding = f"more than {SECONDS} s"
            except BaseException as error:
                outcome, finding = type(error).__name__, f"{type(error).__name__}: {str(error)[:200]}"
            signal.alarm(0)
            slowest = max(slowest, time.perf_counter() - begin)
            outcomes[outcome] += 1
            if seen:
                finding = f"{finding} {seen[:3]}".strip()
            if finding:
                out.write(json.dumps({"seed": seed, "finding": finding}) + "\n")
        out.write(json.dumps({"outcomes": outcomes, "slowest_s": slowest, "peak_mib": _peak_mib()}) + "\n")
    shutil.rmtree(root, ignore_errors=True)


def _write(folder: Path, changed: dict[str, bytes], rest: dict[str, bytes] | None = None) -> None:
    """Write files anew; where reading changes what it reads, the others too."""
    if rest is not None and len(rest) > 2:
        shutil.rmtree(folder, ignore_errors=True)
        changed = rest | changed
    for name, content in changed.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_kind(name: str, first: int, count: int) -> dict[str, Any]:
    """Read so many damaged files of a kind in processes of their own; one that dies costs the file it was at."""
    findings: list[dict[str, Any]] = []
    outcomes: Counter[str] = Counter()
    slowest, peak, at, end = 0.0, 0.0, first, first + count
    begin = time.perf_counter()
    while at < end:
        handle, report = tempfile.mkstemp(suffix=".jsonl")
        os.close(handle)
        part = min(end - at, 20_000)
        command = [
            sys.executable,
            __file__,
            "--worker",
            name,
            "--first",
            str(at),
            "--inputs",
            str(part),
            "--report",
            report,
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        killed = _watch(process, Path(report))
        errors = process.stderr.read()[-500:] if process.stderr else ""
        lines = [json.loads(line) for line in Path(report).read_text().splitlines() if line.endswith("}")]
        os.unlink(report)
        findings += [line for line in lines if "finding" in line]
        reached = max((line["at"] for line in lines if "at" in line), default=None)
        if lines and "outcomes" in lines[-1]:
            outcomes.update(lines[-1]["outcomes"])
            slowest, peak = max(slowest, lines[-1]["slowest_s"]), max(peak, lines[-1]["peak_mib"])
            at += part
        elif reached is None:
            raise RuntimeError(f"{name}: the process died before the first file: {errors}")
        else:
            what = "hung" if killed else f"died ({process.returncode})"
            findings.append({"seed": reached, "finding": f"the process {what}: {errors[-200:]}"})
            outcomes["died"] += 1
            outcomes["(of the same process)"] += reached - at
            at = reached + 1
    return {
        "inputs": count,
        "seconds": round(time.perf_counter() - begin, 1),
        "outcomes": dict(outcomes),
        "slowest_s": round(slowest, 2),
        "peak_mib": round(peak),
        "findings": findings,
    }


def _watch(process: subprocess.Popen[str], report: Path) -> bool:
    """Wait for a process; kill it where it stays at one file for too long. Whether it was killed."""
    size, since = -1, time.monotonic()
    while process.poll() is None:
        time.sleep(0.2)
        now = report.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > 3 * SECONDS + 60 * (size <= 0):
            process.kill()
            process.wait()
            return True
    return False


def shares(names: Sequence[str], inputs: int) -> Iterator[tuple[str, int]]:
    """Files of each kind: as many of each, but a tenth as many of those that are slow to read."""
    slow = {"checkpoint", "graphs", "schedule index"}
    weights = {name: 0.1 if name in slow else 1.0 for name in names}
    total = sum(weights.values())
    for name in names:
        yield name, max(1, round(inputs * weights[name] / total))


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 no finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1000)
    parser.add_argument("--kind", action="append", help="only this one; may be given more than once")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="where it is, kinds in it are not read again")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        work(options.worker, options.first, options.inputs, options.report)
        return 0
    console = Console()
    names = options.kind or list(kinds())
    found: dict[str, Any] = {}
    if options.output and options.output.exists():
        found = json.loads(options.output.read_text())
    with ThreadPoolExecutor(options.jobs) as pool:
        wanted = [(name, count) for name, count in shares(names, options.inputs) if name not in found]
        jobs = [(name, pool.submit(run_kind, name, options.first, count)) for name, count in wanted]
        for name, job in jobs:
            found[name] = job.result()
            if options.output:
                options.output.write_text(json.dumps(found, indent=1) + "\n")
            console.print(f"{name}: { {k: v for k, v in found[name].items() if k != 'findings'} }", highlight=False)
            for finding in found[name]["findings"][:5]:
                console.print(f"  {finding}", highlight=False, markup=False)
    total = sum(result["inputs"] for result in found.values())
    count = sum(len(result["findings"]) for result in found.values())
    console.print(f"{total} damaged files of {len(found)} kinds: {count} findings")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
