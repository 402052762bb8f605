"""Operators of the user's own in every command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tvm_gnn_cost.ansor.tasks import make_task
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.cli.problem import parse_argument
from tvm_gnn_cost.errors import WorkloadError
from tvm_gnn_cost.records.saved_tasks import load_saved_tasks, tasks_path
from tvm_gnn_cost.workloads import find_own, run_definitions
from tvm_gnn_cost.workloads.registry import registry

OPERATORS = """
import dataclasses
import threading

from scales import SCALE
from tvm import auto_scheduler, te, tir, topi

LOCK = threading.Lock()  # goes to no other process


@dataclasses.dataclass
class Shape:
    rows: "int"


def rows(n: int, m, negated: bool = False):
    print("making rows")
    with LOCK:
        a, b = te.placeholder((n, m), name="a"), te.placeholder((m, n), name="b")
        k = te.reduce_axis((0, m), name="k")
        return [a, b, te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[k, j] * SCALE, axis=k), name="c")]


def of_shape(shape):
    a = te.placeholder(shape, name="a")
    return a, topi.nn.relu(a)


@auto_scheduler.register_workload
def column_sums(n, m):
    a = te.placeholder((n, m), name="a")
    k = te.reduce_axis((0, n), name="k")
    return [a, te.compute((m,), lambda j: te.sum(a[k, j], axis=k), name="sums")]


def _make(addend):
    def inner(n):
        a = te.placeholder((n, n), name="a")
        return [a, te.compute((n, n), lambda i, j: a[i, j] + addend, name="b")]

    return inner


plus_one, plus_two = _make(1.0), _make(2.0)
CONSTANT = 5


def no_tensors(n):
    return [n]


def nothing():
    return []


def only_inputs(n):
    return [te.placeholder((n,))]


def forgets_an_input(n):
    a, b = te.placeholder((n,), name="a"), te.placeholder((n,), name="bias")
    return [a, te.compute((n,), lambda i: a[i] + b[i])]


def free_shape():
    a = te.placeholder((te.var("m"), 4), name="a")
    return [a, topi.nn.relu(a)]


def free_sum(n):
    a, k = te.placeholder((n,), name="a"), te.reduce_axis((0, te.var("m")), name="k")
    return [a, te.compute((n,), lambda i: te.sum(a[i], axis=k), name="sum")]


def triangular(n):
    a = te.placeholder((n, n), name="a")
    return [a, te.compute((n,), lambda i: te.sum(a[i, (k := te.reduce_axis((0, i + 1), name="k"))], axis=k), name="t")]


def raises(n):
    return n // 0  # line 86


def leaves(n):
    raise SystemExit(3)


def twice(n):
    a = te.placeholder((n,), name="a")
    return [a, (b := topi.nn.relu(a)), b]


def external(n):
    a = te.placeholder((n,), name="a")
    return [a, te.extern((n,), [a], lambda i, o: tir.call_packed("f", i[0], o[0]), name="sort")]


def too_small(n):
    a = te.placeholder((n,), name="a")
    return [a, te.compute((n - 4,), lambda i: a[i], name="rest")]
"""
RAISES_ON = OPERATORS.splitlines().index("    return n // 0  # line 86") + 1
QUICK = ["--repeat", "1", "--min-repeat-ms", "1", "--round", "2", "--population", "8", "--pretrained", "none"]
COLD = ["--pretrained", "none"]


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with a file of operators; what a test registers is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.syspath_prepend(str(tmp_path))  # forgets `scales` with the test
    Path("ops.py").write_text(OPERATORS)
    Path("scales.py").write_text("SCALE = 2.0\n")
    before = dict(registry())
    yield
    registry().clear()
    registry().update(before)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ops.py:row", "8", "8"], "ops.py: unknown function 'row'; did you mean rows"),
        (["ops.py:CONSTANT"], "ops.py: CONSTANT is no function but int"),
        (["ops.py", "8"], "ops.py names no function"),
        (["ops.py:a.b", "8"], "ops.py:a.b names no function"),
        (["gone.py:rows", "8"], "gone.py cannot be run: there is no such file"),
        (["ops.py:rows", "8"], "ops.rows got 1 argument (missing a required argument: 'm'). ops.rows takes: n m [neg"),
        (["ops.py:rows", "8", "8", "1", "1"], "ops.rows got 4 arguments (too many positional arguments)"),
        (["ops.py:rows", "big", "8"], "argument n is 'big' (str), not int"),
        (["ops.py:rows", "8", "8", "maybe"], "argument negated is 'maybe' (str), not bool"),
        (["ops.py:of_shape", "[8,"], "argument '[8,' is no list in JSON"),
        (["ops.py:of_shape", "[]"], "an argument is an empty list"),
        (["ops.py:no_tensors", "8"], "returns int at place 0, no TE tensor: return the inputs and the outputs"),
        (["ops.py:nothing"], "returns no output: nothing"),
        (["ops.py:only_inputs", "8"], "returns no output: only placeholders"),
        (["ops.py:forgets_an_input", "8"], "reads the placeholder bias, but does not return it"),
        (["ops.py:free_shape"], "has the symbolic shape (m, 4)"),
        (["ops.py:free_sum", "8"], "sum reduces over the symbolic extent m"),
        (["ops.py:raises", "8"], f"ops.py, line {RAISES_ON}: ops.raises 8 fails: ZeroDivisionError: integer division"),
        (["ops.py:leaves", "8"], "ops.leaves 8 ends the program (exit status 3)"),
        (["ops.py:twice", "8"], "returns compute twice"),
        (["ops.py:external", "8"], "sort is a ExternOp; what te.compute makes can be scheduled"),
        (["ops.py:too_small", "4"], "rest would have the shape (0); the arguments do not fit"),
        (["column_sum", "8", "8", "--register", "ops.py"], "unknown workload 'column_sum'; did you mean column_sums"),
        (["ops.py:rows", "8", "8", "--register", "gone.py"], "gone.py cannot be run: there is no such file"),
        (["ops.py:rows", "8", "8", "--register", "ops.txt"], "ops.txt cannot be run"),
    ],
)
def test_what_a_file_does_wrong_is_said_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", *words, *COLD]) == 2
    out, err = capsys.readouterr()
    assert not out
    (said,) = [line for line in err.splitlines() if not line.startswith("making")]
    assert message in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n", "bad.py, line 1: it is not Python"),
        ("x = 1\nimport no_such_module\n", "bad.py, line 2: running it fails: ModuleNotFoundError: No module named"),
        ("\n\nraise SystemExit\n", "bad.py, line 3: running it ends the program"),
        ("x = 1\n", "bad.py defines no function"),
    ],
)
def test_a_file_that_cannot_be_run_says_where(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.py").write_text(text)
    for command in ("tune", "compare", "collect", "inspect"):
        assert main([command, "bad.py:f"]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "title"),
    [
        (["ops.py:rows", "16", "8", "true"], "ops.rows 16 8 True"),
        (["ops.py:of_shape", "[8, 4]"], "ops.of_shape [8,4]"),
        (["ops.py:plus_two", "8"], "ops.plus_two 8"),
        (["ops.py:triangular", "8"], "ops.triangular 8"),
        (["ops.py:column_sums", "8", "8"], "column_sums 8 8"),
        (["column_sums", "8", "8", "--register", "ops.py"], "column_sums 8 8"),
        (["ops.plus_one", "8", "--register", "ops.py"], "ops.plus_one 8"),
    ],
)
def test_a_function_is_a_workload(words: list[str], title: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", *words, *COLD]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{title}\n")  # and nothing that the file prints


def test_names_do_not_depend_on_where_the_file_is() -> None:
    here = make_task("ops.py:plus_one", [8])
    registry().clear()
    Path("elsewhere").mkdir()
    shutil.move("ops.py", "elsewhere/ops.py")
    there = make_task("ops.py:plus_one", [8], folder=Path("elsewhere"))
    assert here.workload_key == there.workload_key == '["ops.plus_one", 8]'


def test_one_name_never_means_two_things() -> None:
    Path("other").mkdir()
    Path("other/ops.py").write_text(OPERATORS)
    Path("mine.py").write_text(OPERATORS.replace("def column_sums", "def matmul"))
    make_task("ops.py:plus_one", [8])
    with pytest.raises(WorkloadError, match="are named alike|registers 'column_sums', which .* has registered too"):
        make_task("other/ops.py:plus_one", [8])
    run_definitions("mine.py")
    with pytest.raises(WorkloadError, match="matmul has two meanings"):
        make_task("matmul", [8, 8])
    assert make_task("mine.py:matmul", [8, 8]).workload_key == '["matmul", 8, 8]'
    assert make_task("tvm_gnn_cost.matmul", [8, 8, 8]).workload_key.startswith('["tvm_gnn_cost.matmul"')


def test_a_file_that_changed_replaces_what_it_registered() -> None:
    before = make_task("ops.py:column_sums", [8, 8])
    Path("ops.py").write_text(OPERATORS.replace('name="sums"', 'name="totals"'))
    after = make_task("ops.py:column_sums", [8, 8])
    assert [str(task.compute_dag.ops[-1].name) for task in (before, after)] == ["sums", "totals"]
    assert find_own("matmul", [8, 8, 8]) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("8", 8), ("0.5", 0.5), ("same", "same"), ("inf", "inf"), ("nan", "nan"), ('[1,[2,"x"]]', [1, [2, "x"]])],
)
def test_arguments_are_numbers_texts_and_lists(text: str, value: object) -> None:
    assert parse_argument(text) == value


def test_a_log_goes_on_and_is_read_by_every_command_without_the_file(capfd: pytest.CaptureFixture[str]) -> None:
    """tune (real builds of a function that cannot be pickled), --resume, inspect, train and evaluate."""
    tune = ["tune", "ops.py:rows", "16", "24", *QUICK, "--log-file", "rows.json"]
    assert main([*tune, "--trials", "2"]) == 0
    assert main([*tune, "--trials", "6", "--resume"]) == 0
    out = capfd.readouterr().out
    assert "4 trials measured (0 failed), 2 from the log" in out and "ops.rows 16 24" in out
    (kept,) = load_saved_tasks("rows.json")
    assert kept.workload_key == '["ops.rows", 16, 24]' and kept.source == "ops.rows 16 24"

    Path("ops.py").unlink()
    registry().clear()
    assert main(["inspect", "--log", "rows.json", *COLD]) == 0
    assert capfd.readouterr().out.startswith("ops.rows 16 24\n")
    fit = ["--start-from", "none", "--epochs", "1", "--hidden", "8", "--validation", "0", "--output", "m.ckpt"]
    registry().clear()
    assert main(["train", "rows.json", *fit]) == 0
    registry().clear()
    unseen = ["--experiments", "unseen", "--models", "gnn,random", "--checkpoint", "m.ckpt", "--seeds", "1"]
    assert main(["evaluate", "rows.json", *unseen]) == 0
    capfd.readouterr()

    registry().clear()
    tasks_path("rows.json").unlink()
    assert main(["inspect", "--log", "rows.json", *COLD]) == 2
    err = " ".join(capfd.readouterr().err.split())
    assert "rows.tasks.json, which keeps a log's tasks, is not beside the log" in err and "(--register)" in err


def test_pools_of_own_operators_are_collected_and_continued(capfd: pytest.CaptureFixture[str]) -> None:
    Path("lists").mkdir()
    shutil.copy("ops.py", "lists/own.py")
    shutil.copy("scales.py", "lists/scales.py")
    Path("lists/w.txt").write_text("own.py:rows 16 24   # relative to this file\nown.py:of_shape [8,4]\nmatmul 8 8 8\n")
    quick = ["--repeat", "1", "--min-repeat-ms", "1", "--batch", "2", "--population", "8", "--wait-quiet", "0", *COLD]
    collect = ["collect", "--workloads", "lists/w.txt", *quick, "--remeasure", "0", "--output", "pools"]
    assert main([*collect, "--trials", "1"]) == 0
    names = sorted(path.name for path in Path("pools").glob("*.json"))
    assert names[0] == "matmul-8x8x8.json" and names[2] == "own.rows-16x24.json"
    assert names[1].startswith("own.of_shape-_8_4-")  # a name that two lists could have got a hash
    assert not [name for name in names if name.endswith(".tasks.json")]
    assert len(json.loads(Path("pools/about/own.rows-16x24.tasks.json").read_text())["tasks"]) == 1
    assert not Path("pools/about/matmul-8x8x8.tasks.json").exists()
    assert main(["inspect", "--log", "pools/own.rows-16x24.json", *COLD]) == 0
    Path("lists/w.txt").write_text("own.py:raises 3\n")
    assert main(collect) == 2
    assert "lists/w.txt, line 1:" in " ".join(capfd.readouterr().err.split())


def test_a_task_of_a_log_is_chosen_by_number_or_name(capsys: pytest.CaptureFixture[str]) -> None:
    from tvm import auto_scheduler

    from tvm_gnn_cost.ansor.record_log import append_records
    from tvm_gnn_cost.ansor.task_store import keep_tasks
    from tvm_gnn_cost.testing.schedules import sample_states

    tasks = [make_task("ops.py:plus_one", [8]), make_task("ops.py:rows", [8, 8])]
    for task in tasks:
        inp = auto_scheduler.MeasureInput(task, sample_states(task, 1)[0])
        append_records("two.json", [inp], [auto_scheduler.MeasureResult([1e-3], 0, "", 0.1, 0.0)])
    keep_tasks(tasks_path("two.json"), tasks, [1.0, 1.0], resumed=False)
    capsys.readouterr()
    assert main(["inspect", "--log", "two.json", *COLD]) == 2
    assert "1: ops.plus_one 8 (line 1), 2: ops.rows 8 8 (line 2)" in capsys.readouterr().err
    for wanted, title in (("2", "ops.rows 8 8"), ("PLUS", "ops.plus_one 8")):
        assert main(["inspect", "--log", "two.json", "--task", wanted, *COLD]) == 0
        assert capsys.readouterr().out.startswith(f"{title}\n")
    for wanted, found in (("3", "no"), ("ops", "2")):
        assert main(["inspect", "--log", "two.json", "--task", wanted, *COLD]) == 2
        assert f"two.json has {found} tasks for --task '{wanted}'" in capsys.readouterr().err
    assert main(["inspect", "--log", "two.json", "--task", "1", "--line", "1"]) == 2
    assert "--line and --task exclude each other" in capsys.readouterr().err
