"""Searches of MetaSchedule with GNNCostModel: built and measured for real, and with pretended measurements."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvm_gnn_cost.errors import InvalidArgumentError, RecordError, TuningInterrupted
from tvm_gnn_cost.learning import TrainerConfig
from tvm_gnn_cost.learning.cost_model import UpdateReport
from tvm_gnn_cost.meta_schedule import GNNCostModel, measure_callbacks
from tvm_gnn_cost.meta_schedule.api import ms
from tvm_gnn_cost.testing.conformance_meta_schedule import CPU, make_context, make_program
from tvm_gnn_cost.testing.pretended_measuring import FAILED_BUILD, FAILED_RUN, pretended_measuring

QUICK = TrainerConfig(max_steps_per_update=20, hidden_dim=16)


def small_search() -> Any:
    return ms.search_strategy.EvolutionarySearch(population_size=16, init_min_unmeasured=8, genetic_num_iters=1)


def patient_builder() -> Any:
    """TVM's own, in one process that may take its time to start."""
    return ms.builder.LocalBuilder(max_workers=1, timeout_sec=240)


def quick_runner() -> Any:
    """TVM's own, which times each schedule for a moment."""
    readings = ms.runner.EvaluatorConfig(number=1, repeat=2, min_repeat_ms=1, enable_cpu_cache_flush=False)
    return ms.runner.LocalRunner(timeout_sec=240, evaluator_config=readings)


def small(model: Any) -> dict[str, Any]:
    """Arguments of `ms.tune_tir` and its like: two rounds of two trials."""
    return {
        "max_trials_global": 4,
        "num_trials_per_iter": 2,
        "builder": patient_builder(),
        "runner": quick_runner(),
        "cost_model": model,
        "strategy": small_search(),
        "seed": 1,
    }


class Watched(GNNCostModel):
    """Notes what was asked of it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.calls: list[tuple[str, int]] = []

    def predict(self, context: Any, candidates: Sequence[Any]) -> Any:
        self.calls.append(("predict", len(candidates)))
        return super().predict(context, candidates)

    def update(self, context: Any, candidates: Sequence[Any], results: Sequence[Any]) -> None:
        self.calls.append(("update", len(results)))
        super().update(context, candidates, results)


def test_a_matmul_is_tuned(tmp_path: Path) -> None:
    """Warm from the first round on, with TVM's own builder and runner, whose processes get nothing of the model."""
    reports: list[UpdateReport] = []
    model = Watched(device="cpu", callbacks=[reports.append], model_file=tmp_path / "model.ckpt")
    database = ms.tune_tir(
        make_program("matmul"),
        CPU,
        str(tmp_path),
        **small(model),
    )
    latencies = [[float(s) for s in record.run_secs] for record in database.get_all_tuning_records()]
    assert len(latencies) == 4 and max(min(seconds) for seconds in latencies) < 1e9, "all were built and run"
    assert model.calls == [("predict", 16), ("predict", 16), ("update", 2)] * 2
    assert [report.total_records for report in reports] == [2, 4] and reports[0].prequential_accuracy >= 0
    assert model.is_warm and model.num_records == 4 and "1 tasks" in repr(model)
    again = GNNCostModel.load(tmp_path / "model.ckpt", device="cpu")
    again_from_database = GNNCostModel(device="cpu")
    again_from_database.update_from_database(database)
    assert again.num_records == again_from_database.num_records == 4


@pytest.mark.skipif(find_spec("tvm.relay") is None, reason="this TVM has no Relay")
def test_a_relay_network_is_tuned(tmp_path: Path) -> None:
    """Two dense layers of different shapes: two tasks share the model."""
    relay = import_module("tvm.relay")
    x = relay.var("x", shape=(16, 64))
    hidden = relay.nn.relu(relay.nn.dense(x, relay.var("w1", shape=(96, 64))))
    out = relay.nn.dense(hidden, relay.var("w2", shape=(32, 96)))
    module = import_module("tvm").IRModule.from_expr(relay.Function(relay.analysis.free_vars(out), out))
    model = Watched(device="cpu")
    ms.relay_integration.tune_relay(
        module,
        {},
        CPU,
        str(tmp_path),
        **small(model),
    )
    assert [call for call, _ in model.calls] == ["predict"] * 4 + ["update"] * 2
    assert model.num_records == 4 and "2 tasks" in repr(model)


@pytest.mark.skipif(not hasattr(ms.relax_integration, "tune_relax"), reason="this TVM has no Relax")
def test_a_relax_module_is_tuned(tmp_path: Path) -> None:
    """The same network, in Relax."""
    relax, nn = import_module("tvm.relax"), import_module("tvm.relax.frontend.nn")

    class Network(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Parameter((64, 96), "float32"), nn.Parameter((96, 32), "float32")

        def forward(self, x: Any) -> Any:
            return nn.op.matmul(nn.op.relu(nn.op.matmul(x, self.first)), self.second)

    module, _ = Network().export_tvm({"forward": {"x": nn.spec.Tensor((16, 64), "float32")}})
    for step in ("LegalizeOps", "AnnotateTIROpPattern", "FuseOps", "FuseTIR"):
        module = getattr(relax.transform, step)()(module)
    model = Watched(device="cpu")
    ms.relax_integration.tune_relax(
        module,
        {},
        CPU,
        str(tmp_path),
        **small(model),
    )
    assert [call for call, _ in model.calls] == ["predict"] * 4 + ["update"] * 2
    assert model.num_records == 4 and "2 tasks" in repr(model)


# -- pretended measurements --------------------------------------------------------------------------------------------


def search(model: Any, answer: Any, folder: Path, trials: int = 8, context: Any = None, **options: Any) -> Any:
    """The database of a search in which nothing is built."""
    measuring = pretended_measuring(answer)
    return ms.tune.tune_tasks(
        tasks=[context or make_context("matmul")],
        task_weights=[1.0],
        work_dir=str(folder),
        max_trials_global=trials,
        num_trials_per_iter=4,
        builder=measuring.builder,
        runner=measuring.runner,
        database=ms.database.MemoryDatabase(),
        cost_model=model,
        **options,
    )


def test_tvm_hands_over_failed_runs_but_no_failed_builds(tmp_path: Path) -> None:
    model = Watched(None, config=QUICK)
    search(model, lambda i: (FAILED_BUILD, FAILED_RUN, [1e-3], [2e-3])[i % 4], tmp_path)
    assert [size for call, size in model.calls if call == "update"] == [3, 3]
    assert model.num_records == 6 and model.last_update is not None and model.last_update.failed_records == 1


def test_our_callbacks_hand_over_failed_builds(tmp_path: Path) -> None:
    model = Watched(None, config=QUICK)
    search(
        model,
        lambda i: (FAILED_BUILD, FAILED_RUN, [1e-3], [2e-3])[i % 4],
        tmp_path,
        measure_callbacks=measure_callbacks(),
    )
    assert [size for call, size in model.calls if call == "update"] == [4, 4]
    assert model.num_records == 8 and model.last_update is not None and model.last_update.failed_records == 2


def test_our_callbacks_serve_other_models_and_none(tmp_path: Path) -> None:
    for model in (ms.cost_model.RandomModel(seed=1), ms.cost_model.XGBModel(num_tuning_cores=1, verbose_eval=0)):
        database = search(model, lambda _: FAILED_BUILD, tmp_path, 4, measure_callbacks=measure_callbacks())
        assert len(database.get_all_tuning_records()) == 4


def test_the_same_seeds_search_the_same(tmp_path: Path) -> None:
    """Without mutation: TVM draws mutators in the order of their addresses."""

    def traces(seed: int) -> list[str]:
        model = GNNCostModel(None, seed, config=QUICK, device="cpu")
        context = make_context("matmul", genetic_mutate_prob=0.0)
        database = search(model, lambda i: [1e-3 * (1 + i)], tmp_path, context=context)
        return [str(record.trace) for record in database.get_all_tuning_records()]

    first = traces(1)
    assert first == traces(1) and first != traces(2)


def test_ctrl_c_inside_the_model_ends_the_search(tmp_path: Path) -> None:
    class Interrupted(GNNCostModel):
        def predict(self, *_: Any) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        search(Interrupted(None, config=QUICK), lambda _: [1e-3], tmp_path)
    assert isinstance(caught.value, TuningInterrupted)


def test_a_callback_that_fails_does_not_end_the_search(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: UpdateReport) -> None:
        raise OSError("the dashboard is down")

    model = GNNCostModel(None, config=QUICK, callbacks=[fails])
    with caplog.at_level(logging.ERROR):
        assert len(search(model, lambda _: [1e-3], tmp_path).get_all_tuning_records()) == 8
    assert model.num_records == 8 and caplog.text.count("cannot learn from 4 measurements, and tuning goes on") == 1


def test_a_model_learns_a_database(tmp_path: Path) -> None:
    database = ms.database.JSONDatabase(work_dir=str(tmp_path))
    context = make_context("matmul")
    measuring = pretended_measuring(lambda i: FAILED_RUN if i == 2 else [1e-3 * (1 + i)])
    ms.tune.tune_tasks(
        tasks=[context],
        task_weights=[1.0],
        work_dir=str(tmp_path),
        max_trials_global=8,
        num_trials_per_iter=8,
        builder=measuring.builder,
        runner=measuring.runner,
        database=database,
        cost_model=(direct := GNNCostModel(None, config=QUICK, device="cpu")),
    )
    candidates = [record.as_measure_candidate() for record in database.get_all_tuning_records()]
    for source in (database, tmp_path, str(tmp_path)):
        model = GNNCostModel(None, config=QUICK, device="cpu")
        model.update_from_database(source)
        assert model.num_records == 8 and model.last_update is not None and model.last_update.failed_records == 1
        np.testing.assert_allclose(model.predict(context, candidates), direct.predict(context, candidates), rtol=1e-4)
    with pytest.raises(InvalidArgumentError, match="must be a JSONDatabase or a path, got MemoryDatabase"):
        model.update_from_database(ms.database.MemoryDatabase())
    with pytest.raises(RecordError, match="nothing"):
        model.update_from_database(tmp_path / "nothing")


def test_a_model_cannot_be_pickled() -> None:
    """`save` and `load` are the way; the error says so."""
    with pytest.raises(TypeError, match="save"):
        pickle.dumps(GNNCostModel(None, config=QUICK))
