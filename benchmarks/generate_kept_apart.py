"""Writes the skeletons of the workloads that are kept for testing: no random program has one of them.

    python benchmarks/generate_kept_apart.py            # writes workloads/random_programs/kept_apart.py
    python benchmarks/generate_kept_apart.py --check    # exit 1 if it is out of date

A log's random programs are rebuilt with the list they were drawn with, so a change of this file is a new version of
`random_program`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tvm_gnn_cost.testing.generated import generate
from tvm_gnn_cost.workloads.random_programs.structure import skeleton
from tvm_gnn_cost.workloads.registry import PREFIX, key_of_log, workload_functions

DATA = Path(__file__).with_name("data")
SPLITS = ("split.json", "split_test.json")
RANDOM = "random_program-"
PLACE = Path(__file__).parents[1] / "tvm_gnn_cost" / "workloads" / "random_programs" / "kept_apart.py"


def kept_workloads() -> list[str]:
    """The workload keys of all pools, on any machine, whose operator or workload a split keeps for testing."""
    # a random program that is kept for testing has been drawn: nothing can be kept apart from it
    splits = [json.loads((DATA / name).read_text()) for name in SPLITS]
    operators = {name for split in splits for name in split["test_operators"]}
    workloads = {name for split in splits for name in split["test_workloads"] if not name.startswith(RANDOM)}
    stems = {path.name.removesuffix(".json.gz") for path in DATA.glob("*/*.json.gz")} | workloads
    kept = sorted(stem for stem in stems if stem in workloads or stem.partition("-")[0] in operators)
    keys = {stem: key_of_log(stem) for stem in kept}
    unknown = [stem for stem, key in keys.items() if key is None]
    if unknown:
        raise ValueError(f"no workloads of the package: {', '.join(unknown)}")
    return sorted({key for key in keys.values() if key is not None})


def kept_skeletons() -> list[str]:
    """The skeletons of `kept_workloads`."""
    functions = workload_functions()
    found = set()
    for key in kept_workloads():
        name, *arguments = json.loads(key)
        found.add(skeleton(functions[name.removeprefix(PREFIX)](*arguments)))
    return sorted(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    lines = [
        '"""The skeletons of the workloads that the project keeps for testing: no random program has one of them.',
        "",
        "Written by `benchmarks/generate_kept_apart.py`; part of what a version of `random_program` means.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        "KEPT_APART = frozenset(",
        "    {",
        *(f'        "{digest}",' for digest in kept_skeletons()),
        "    }",
        ")",
    ]
    return generate(PLACE, "\n".join(lines) + "\n", __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
