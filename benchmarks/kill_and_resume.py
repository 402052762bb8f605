"""Kills `tune`, `collect`, `train` and `evaluate` with SIGKILL at random instants, and lets them go on.

    python benchmarks/kill_and_resume.py --kills 200 --output kills.json
    python benchmarks/kill_and_resume.py --command train --kills 20

After each kill: every record that was whole in the file is still there, in its place, once the command has gone on; no
schedule is there twice; no process of the killed run is left after `LEFT_S`. At the end of a training or an evaluation:
the network is the same, byte for byte, and the figures are the same as without a kill. Nothing else should run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console

POOLS = Path(__file__).parent / "data" / "emeraldrapids"
MARK = "TVM_GNN_COST_KILLED_RUN"
LEFT_S = 20.0
"""So long the workers of a killed run may take to see that it is gone."""
_QUICK = ["--round", "4", "--population", "64", "--repeat", "1", "--min-repeat-ms", "1"]


@dataclass(frozen=True)
class Command:
    """A command that goes on where it stopped.

    Attributes:
        arguments: of `tvm-gnn-cost`; run in an empty folder with the logs `a.json.gz` and `b.json.gz`.
        lines: the file that grows by a line a result, in the folder.
        identity: what must not be there twice, of a line.
        outcome: what must be as without kills when the command has ended; None: nothing, as it measures.
    """

    arguments: Sequence[str]
    lines: str
    identity: Callable[[str], object]
    outcome: Callable[[Path], object] | None = None


def _schedule(line: str) -> object:
    record = json.loads(line)
    return json.dumps(record["i"])


def _key(line: str) -> object:
    return json.loads(line)["key"]


def _network(folder: Path) -> object:
    """A digest of the network; a checkpoint says when it was made, so that its own would differ."""
    with zipfile.ZipFile(folder / "m.ckpt") as archive:
        return hashlib.sha256(archive.read("weights.safetensors")).hexdigest()


def _figures(folder: Path) -> object:
    data = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    return [data["figures"], data["duels"]]


COMMANDS = {
    "tune": Command(
        ["tune", "matmul", "32", "32", "32", "--trials", "16", *_QUICK, "--log-file", "log.json", "--resume"],
        "log.json",
        _schedule,
    ),
    "collect": Command(
        ["collect", "matmul", "32", "32", "32", "--trials", "32", "--batch", "4", "--population", "64", "--repeat", "1",
         "--min-repeat-ms", "1", "--output", "pools", "--wait-quiet", "0", "--remeasure", "0"],
        "pools/matmul-32x32x32.json",
        _schedule,
    ),
    "train": Command(
        ["train", "a.json.gz", "b.json.gz", "--start-from", "none", "--epochs", "40", "--hidden", "16", "--output",
         "m.ckpt", "--validation", "0.5"],
        "m.work/none.jsonl",
        _key,
        _network,
    ),
    "evaluate": Command(
        ["evaluate", "a.json.gz", "b.json.gz", "--models", "gnn-cold,random", "--seeds", "2", "--steps", "10",
         "--experiments", "ranking,replay", "--jobs", "2"],
        "evaluation/results.jsonl",
        _key,
        _figures,
    ),
}  # fmt: skip


class Folder:
    """Where one command runs, from its beginning to its end, killed or not."""

    def __init__(self, command: Command, name: str) -> None:
        self.command, self.path = command, Path(tempfile.mkdtemp(prefix=f"kill-{name}-"))
        for source, log in (("matmul-384x384x384", "a"), ("softmax_mn-256x256", "b")):
            shutil.copy(POOLS / f"{source}.json.gz", self.path / f"{log}.json.gz")
        self.whole: list[str] = []

    def start(self) -> subprocess.Popen[bytes]:
        """The command, in a process group of its own."""
        log = open(self.path / "output.txt", "ab")
        return subprocess.Popen(
            [sys.executable, "-m", "tvm_gnn_cost", *self.command.arguments],
            cwd=self.path, stdout=log, stderr=log, env=os.environ | {MARK: str(self.path)}, start_new_session=True,
        )  # fmt: skip

    def check(self) -> list[str]:
        """What is wrong with the results that are there now, compared with those before."""
        file = self.path / self.command.lines
        content = file.read_text() if file.exists() else ""
        lines = content.splitlines()
        found = []
        if not content.endswith("\n") and lines:
            lines.pop()  # cut off; it is dropped when the command goes on
        if lines[: len(self.whole)] != self.whole:
            found.append(f"{len(self.whole)} results were there, and are not any more")
        twice = [key for key, count in Counter(map(self.command.identity, lines)).items() if count > 1]
        if twice:
            found.append(f"{len(twice)} results are there twice")
        self.whole = lines
        return found

    def strays(self) -> list[int]:
        """Processes of the command that are left after `LEFT_S`."""
        until = time.monotonic() + LEFT_S
        while (left := self._marked()) and time.monotonic() < until:
            time.sleep(0.2)
        return left

    def _marked(self) -> list[int]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.path) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except (psutil.Error, OSError):
                continue
        return found


def campaign(name: str, kills: int, console: Console) -> dict[str, Any]:
    """So many kills of one command."""
    command = COMMANDS[name]
    generator = np.random.default_rng(sorted(COMMANDS).index(name))
    undisturbed = Folder(command, name)
    begin = time.monotonic()
    code = undisturbed.start().wait()
    length = time.monotonic() - begin
    if code:
        raise RuntimeError(f"{name} fails undisturbed ({code}): {(undisturbed.path / 'output.txt').read_text()[-500:]}")
    expected = command.outcome(undisturbed.path) if command.outcome else None
    console.print(f"{name}: {length:.1f} s undisturbed", highlight=False)
    folder, findings = Folder(command, name), []
    lives: list[float] = []
    done = ended = strays = kept = 0
    while done < kills:
        process = folder.start()
        life = float(generator.uniform(0.2, max(1.0, 1.1 * length)))
        try:
            code = process.wait(life)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            done += 1
            lives.append(life)
            if folder.strays():
                strays += 1
                findings.append(f"kill {done}: processes are left after {LEFT_S:.0f} s")
            findings += [f"kill {done}: {what}" for what in folder.check()]
            continue
        findings += [f"after kill {done}: {what}" for what in folder.check()]
        ended += 1
        if code:
            findings.append(f"after kill {done}: exit code {code}: {(folder.path / 'output.txt').read_text()[-300:]}")
        elif command.outcome and command.outcome(folder.path) != expected:
            findings.append(f"after kill {done}: the outcome is another one than without kills")
        kept += len(folder.whole)
        shutil.rmtree(folder.path)
        folder = Folder(command, name)
    kept += len(folder.whole)
    for used in (folder, undisturbed):
        shutil.rmtree(used.path)
    return {
        "kills": done,
        "undisturbed_s": round(length, 1),
        "median_life_s": round(statistics.median(lives), 2) if lives else None,
        "completed_runs": ended,
        "results": kept,
        "strays": strays,
        "findings": findings,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 no finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", action="append", choices=sorted(COMMANDS), help="[default: each]")
    parser.add_argument("--kills", type=int, default=200, help="of each command")
    parser.add_argument(
        "--output", type=Path, metavar="FILE.json", help="where it is, commands in it are not run again"
    )
    options = parser.parse_args(argv)
    console = Console()
    found: dict[str, Any] = {}
    if options.output and options.output.exists():
        found = json.loads(options.output.read_text())
    for name in options.command or COMMANDS:
        if name in found:
            continue
        found[name] = campaign(name, options.kills, console)
        console.print(f"{name}: {found[name]}", highlight=False, markup=False)
        if options.output:
            options.output.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any(result["findings"] for result in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
