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
