from __future__ import annotations

import inspect

import pytest

from tvm_gnn_cost.meta_schedule.api import derived_object, ms


def test_a_cost_model_of_our_own_can_be_made() -> None:
    @derived_object
    class Zero(ms.cost_model.PyCostModel):  # type: ignore[misc]
        def load(self, path: str) -> None: ...
        def save(self, path: str) -> None: ...
        def update(self, context: object, candidates: object, results: object) -> None: ...
        def predict(self, context: object, candidates: object) -> object: ...

    assert isinstance(Zero(), ms.CostModel)


def test_the_frames_of_an_import_are_found_without_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else TVM's tensor intrinsics take most of a minute to import."""
    import importlib._bootstrap

    monkeypatch.setattr(inspect, "getabsfile", lambda *_: pytest.fail("all modules were searched"))
    found = inspect.getmodule(importlib._bootstrap._find_and_load.__code__, "<frozen importlib._bootstrap>")  # type: ignore[attr-defined]
    assert found is importlib._bootstrap
