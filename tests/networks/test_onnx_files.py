"""ONNX models, made by hand, against ONNX's own evaluator."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_networks import output_of

from tvm_gnn_cost import WorkloadError
from tvm_gnn_cost.networks import InputSpec, load_model

onnx = pytest.importorskip("onnx")
helper = onnx.helper if hasattr(onnx, "helper") else pytest.importorskip("onnx.helper")
RNG = np.random.default_rng(0)


def tensor(name: str, *shape: int) -> Any:
    return onnx.numpy_helper.from_array(RNG.standard_normal(shape, dtype=np.float32) * 0.3, name)


def axes(name: str, *values: int) -> Any:
    return onnx.numpy_helper.from_array(np.array(values, dtype=np.int64), name)


def save(path: Path, nodes: list[Any], constants: list[Any], shape: list[Any], result: list[Any]) -> Any:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, result)],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, str(path))
    return model


def save_conv_net(path: Path, shape: list[Any]) -> Any:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ReduceMean", ["r", "axes"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "head", "bias"], ["y"], transB=1),
    ]
    constants = [tensor("w", 8, 3, 3, 3), tensor("b", 8), axes("axes", 2, 3), tensor("head", 10, 8), tensor("bias", 10)]
    return save(path, nodes, constants, shape, [shape[0], 10])


def assert_as_evaluated(path: Path, model: Any, x: np.ndarray, *inputs: str) -> None:
    from onnx.reference import ReferenceEvaluator

    expected = ReferenceEvaluator(model).run(None, {"x": x})[0]
    np.testing.assert_allclose(output_of(load_model(path, inputs), x), expected, rtol=1e-3, atol=1e-5)


def test_a_convolutional_network_with_a_free_batch(tmp_path: Path) -> None:
    """Reductions have their axes as an input since operator set 18; TVM's front end would reduce the first alone."""
    path = tmp_path / "net.onnx"
    model = save_conv_net(path, ["batch", 3, 16, 16])
    with pytest.raises(WorkloadError, match=r"the shape of input 'x' is not known \(x=\?,3,16,16\)"):
        load_model(path)
    assert load_model(path, ["2,3,16,16"]).inputs == (InputSpec("x", (2, 3, 16, 16)),)
    assert_as_evaluated(path, model, RNG.standard_normal((2, 3, 16, 16), dtype=np.float32), "x=2,3,16,16")


def test_a_transformers_block(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "wq"], ["q"]),
        helper.make_node("Transpose", ["x"], ["k"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "k"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "x"], ["mixed"]),
        helper.make_node("Add", ["mixed", "x"], ["sum"]),
        helper.make_node("LayerNormalization", ["sum", "scale", "shift"], ["normal"], axis=-1),
        helper.make_node("Gelu", ["normal"], ["exact"]),
        helper.make_node("Gelu", ["normal"], ["near"], approximate="tanh"),
        helper.make_node("Add", ["exact", "near"], ["y"]),
    ]
    constants = [tensor("wq", 16, 16), tensor("scale", 16), tensor("shift", 16)]
    model = save(tmp_path / "block.onnx", nodes, constants, [1, 6, 16], [1, 6, 16])
    assert_as_evaluated(tmp_path / "block.onnx", model, RNG.standard_normal((1, 6, 16), dtype=np.float32))


def test_operators_that_cannot_be_imported_are_all_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Det", ["x"], ["d"]), helper.make_node("MelWeightMatrix", ["d"] * 5, ["y"])]
    save(tmp_path / "odd.onnx", nodes, [], [4, 4], [1])
    with pytest.raises(WorkloadError, match=r"cannot import these operators of odd.onnx: Det, MelWeightMatrix"):
        load_model(tmp_path / "odd.onnx")


def test_newer_forms_that_the_front_end_would_misread_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[2, 2])]
    save(tmp_path / "pool.onnx", nodes, [], [1, 3, 8, 8], [1, 3, 6, 6])
    with pytest.raises(WorkloadError, match=r"AveragePool \(dilations\)"):
        load_model(tmp_path / "pool.onnx")


def test_weights_in_a_file_beside_it_are_read_and_missed(tmp_path: Path) -> None:
    model = save_conv_net(tmp_path / "plain.onnx", [1, 3, 16, 16])
    path = tmp_path / "net.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="net.data", size_threshold=0)
    assert load_model(path).inputs == (InputSpec("x", (1, 3, 16, 16)),)
    (tmp_path / "net.data").unlink()
    with pytest.raises(WorkloadError, match="is no ONNX model, or it is damaged"):
        load_model(path)


def test_a_damaged_model(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    save_conv_net(path, [1, 3, 16, 16])
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(WorkloadError, match="is no ONNX model, or it is damaged"):
        load_model(path)


def test_a_missing_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_conv_net(tmp_path / "net.onnx", [1, 3, 16, 16])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(WorkloadError, match=r'needs the package onnx: pip install "tvm-gnn-cost\[onnx\]"'):
        load_model(tmp_path / "net.onnx")


def test_the_table_for_the_front_end_is_there_only_while_it_reads(tmp_path: Path) -> None:
    save_conv_net(tmp_path / "net.onnx", [1, 3, 16, 16])
    before = set(vars(onnx))
    load_model(tmp_path / "net.onnx")
    assert ("onnx.mapping" in sys.modules) == ("mapping" in before)
