"""An evaluation runs where TVM cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import importlib, pkgutil, sys
from pathlib import Path

sys.modules["tvm"] = None  # an import of it fails
import tvm_gnn_cost.evaluation
for module in pkgutil.walk_packages(tvm_gnn_cost.evaluation.__path__, "tvm_gnn_cost.evaluation."):
    importlib.import_module(module.name)

from tests.evaluation.problems import make_pool, make_problem
from tvm_gnn_cost.evaluation.options import EvaluationOptions
from tvm_gnn_cost.evaluation.registry import make_method
from tvm_gnn_cost.evaluation.runner import evaluate
from tvm_gnn_cost.evaluation.search_replay import ReplayOptions
from tvm_gnn_cost.evaluation.split import Split, hold_out_folds, split_fold
from tvm_gnn_cost.evaluation.summary import summarise
from tvm_gnn_cost.learning import TrainerConfig

config = TrainerConfig(hidden_dim=8, num_layers=1, max_steps_per_update=2, fit_epochs=1)
problems = [make_problem(make_pool(f"{name}-1", seed=i, count=40)) for i, name in enumerate("abcd")]
pools = [problem.pool for problem in problems]
options = EvaluationOptions(seeds=1, learnt=(16,), replay=ReplayOptions(8, 16), curve=(1,))
folder = Path(sys.argv[1])
methods = {name: make_method(name, config) for name in ("gnn", "random")}
found = evaluate(problems, hold_out_folds(pools, "operator", 2), methods, options, folder)
assert {s.experiment for s in summarise(found, problems, list(methods), options.experiments).statistics} == set(
    options.experiments
)
trained = next((folder / "models").iterdir())
given = {"gnn": make_method("gnn", config, trained)}
evaluate(problems, [split_fold(pools, [], Split(test_workloads=("a-1",)))], given, options, folder)
assert sys.modules["tvm"] is None and not [name for name in sys.modules if name.startswith("tvm.")]
"""


def test_an_evaluation_needs_no_tvm(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


MIXED = """
import sys
from pathlib import Path

import torch_geometric.nn  # looks for TVM itself


class Without:  # as where none is installed
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tvm", "tvm_ffi"):
            raise ModuleNotFoundError(f"no module {name}")


sys.meta_path.insert(0, Without())
import numpy as np
from tests.evaluation.problems import make_pool
from tvm_gnn_cost.cli import main
from tvm_gnn_cost.records.graph_file import GraphFile, write_graph_file
from tvm_gnn_cost.records.pool import RecordedPool

folder = Path(sys.argv[1])
for name in ("a-1", "b-2"):
    pool = make_pool(name, count=56)
    recorded = RecordedPool(pool, np.arange(56), None, name, pool.workload)
    (folder / name).mkdir()
    write_graph_file(folder / name / "graphs.npz", GraphFile(name, "0.27.0", 0, (recorded,)))
new = ["--start-from", "none", "--hidden", "8", "--epochs", "1", "--validation", "0"]
assert main(["train", str(folder), *new, "--output", str(folder / "mine.ckpt")]) == 0
asked = ["--models", "gnn,random", "--checkpoint", str(folder / "mine.ckpt"), "--experiments", "unseen", "--seeds", "1"]
assert main(["evaluate", str(folder / "a-1"), *asked, "--output", str(folder / "out")]) == 0
"""


def test_graphs_of_databases_are_learnt_and_judged_without_tvm(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MIXED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "unseen" in done.stdout and (tmp_path / "out" / "evaluation.json").exists()
