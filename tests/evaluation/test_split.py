from __future__ import annotations

import json
from pathlib import Path

import pytest

from tvm_gnn_cost.errors import InvalidArgumentError
from tvm_gnn_cost.evaluation.split import (
    NOVELTIES,
    Split,
    hold_out_folds,
    novelty,
    read_split,
    split_fold,
    training_subsets,
)
from tvm_gnn_cost.workloads import canonical_key, key_of_log

from .problems import make_pool

POOLS = [
    make_pool(name, count=2)
    for name in ("matmul-64", "matmul-128", "conv-7", "conv-9", "softmax-32", "attention-4", "pool-2")
]
MATMUL_KEY = POOLS[0].workload


def test_operators_and_workloads_are_kept_apart() -> None:
    split = Split(("conv",), ("softmax",), (MATMUL_KEY,), ("pool-2",))
    assert split.parts(POOLS) == ["test", "train", "test", "test", "validation", "train", "validation"]


def test_a_workload_is_split_alike_on_every_machine() -> None:
    elsewhere = make_pool("renamed", workload=MATMUL_KEY, operator="matmul", target="llvm -mcpu=znver4", count=2)
    assert Split(test_workloads=("matmul-64",)).parts([*POOLS, elsewhere]) == ["test"] + ["train"] * 6 + ["test"]


def test_the_tasks_of_one_log_are_named_by_it() -> None:
    tasks = [make_pool(f"network: {task}", operator=task, count=2) for task in ("conv", "dense")]
    assert Split(test_workloads=("network",)).parts([*tasks, POOLS[0]]) == ["test", "test", "train"]


def test_a_name_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match=r"dense \(validation_operators\), matmul-65 \(test_workloads\)"):
        Split(validation_operators=("dense",), test_workloads=("matmul-65",)).parts(POOLS)


def test_a_workload_in_two_parts_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="in test and in validation"):
        Split(test_operators=("matmul",), validation_workloads=("matmul-64",)).parts(POOLS)


def test_a_split_is_one_fold() -> None:
    split = Split(("conv",), ("softmax",))
    fold = split_fold(POOLS, [], split)
    assert (fold.tests, fold.training) == ((2, 3), (0, 1, 5, 6))
    assert split_fold(POOLS, [], split, "validation").tests == (4,)


def test_further_training_pools_are_split_too() -> None:
    """Those of the tests' machine are not learnt then, and no workload is on both sides."""
    elsewhere = [make_pool(p.name, target="llvm -mcpu=znver4", count=2) for p in POOLS[:3]]
    fold = split_fold(POOLS, elsewhere, Split(("conv",)))
    assert (fold.tests, fold.training) == ((2, 3), (7, 8))


def test_a_split_that_tests_nothing_is_an_error() -> None:
    with pytest.raises(InvalidArgumentError, match="no test pool among the 7"):
        split_fold(POOLS, [], Split(validation_operators=("conv",)))


@pytest.mark.parametrize("by", ["operator", "workload"])
def test_folds_test_every_pool_once_and_keep_groups_together(by: str) -> None:
    folds = hold_out_folds(POOLS, by, 3)
    assert sorted(i for fold in folds for i in fold.tests) == list(range(len(POOLS)))
    for fold in folds:
        assert sorted((*fold.tests, *fold.training)) == list(range(len(POOLS)))
        assert not {getattr(POOLS[i], by) for i in fold.tests} & {getattr(POOLS[i], by) for i in fold.training}
    assert folds == hold_out_folds(POOLS, by, 3)


def test_there_are_no_more_folds_than_groups() -> None:
    assert len(hold_out_folds(POOLS, "operator", 50)) == 5


def test_one_operator_cannot_be_held_out() -> None:
    with pytest.raises(InvalidArgumentError, match="all pools have the operator matmul"):
        hold_out_folds(POOLS[:2], "operator", 2)


def test_novelty_says_what_was_known() -> None:
    known = ({MATMUL_KEY}, {"matmul"})
    assert [novelty(POOLS[i], *known) for i in (0, 1, 2)] == list(NOVELTIES)


def test_training_subsets_grow() -> None:
    names = [f"w{i}" for i in range(25)]
    subsets = training_subsets(names, (10, 20, 40), seed=1)
    assert list(subsets) == [10, 20, 25]
    assert subsets[10] < subsets[20] < subsets[25] == set(names)
    assert subsets[10] != training_subsets(names, (10,), seed=2)[10]


def test_a_split_is_read(tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"test_operators": ["conv"], "validation_workloads": []}))
    assert read_split(path) == Split(test_operators=("conv",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read"),
        ("{", "no JSON"),
        ('["conv"]', "must be a JSON object"),
        ('{"tests": []}', "some of the keys test_operators"),
        ('{"test_operators": "conv"}', "test_operators must be a list of names"),
        ('{"test_operators": [1]}', "test_operators must be a list of names"),
    ],
)
def test_a_wrong_split_gets_a_clear_error(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "split.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidArgumentError, match=message):
        read_split(path)


def test_default_arguments_may_be_left_out() -> None:
    """Logs of one workload may be called otherwise, and have another key in TVM: it is the same workload."""
    pytest.importorskip("tvm.auto_scheduler")
    from tvm_gnn_cost.logs.pools import workload_of

    key = canonical_key('["tvm_gnn_cost.conv2d_nhwc", 1, 28, 28, 64, 64, 3, 1, 1]')
    assert key == '["tvm_gnn_cost.conv2d_nhwc", 1, 28, 28, 64, 64, 3, 1, 1, 1, 1, "float32", "float32"]'
    pools = [
        make_pool("conv2d_nhwc-1x28x28x64x64x3x1x1x1x1", workload=key, count=2),
        make_pool("a_log", workload=key, operator="conv2d_nhwc", count=2),
        make_pool("conv2d_nhwc-1x28x28x64x64x3x1x1x1x4", count=2),
    ]
    assert key_of_log("conv2d_nhwc-1x28x28x64x64x3x1x1") == key and key_of_log("mine") is None
    for name in (
        "conv2d_nhwc-1x28x28x64x64x3x1x1",
        '["tvm_gnn_cost.conv2d_nhwc", 1, 28, 28, 64, 64, 3, 1, 1]',
        "a_log",
    ):
        assert Split(test_workloads=(name,)).parts(pools, workload_of) == ["test", "test", "train"]
