from __future__ import annotations

from tvm_gnn_cost.meta_schedule.api import derived_object, ms


def test_a_cost_model_of_our_own_can_be_made() -> None:
    @derived_object
    class Zero(ms.cost_model.PyCostModel):  # type: ignore[misc]
        def load(self, path: str) -> None: ...
        def save(self, path: str) -> None: ...
        def update(self, context: object, candidates: object, results: object) -> None: ...
        def predict(self, context: object, candidates: object) -> object: ...

    assert isinstance(Zero(), ms.CostModel)
