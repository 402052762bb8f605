"""Which format a file has, Relay's own, and what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import tvm
from built_networks import output_of
from tvm import relay

from tvm_gnn_cost import WorkloadError
from tvm_gnn_cost.networks import InputSpec, load_model, with_layout

WEIGHT = np.linspace(-1, 1, 8 * 3 * 9, dtype=np.float32).reshape(8, 3, 3, 3)


def save_relay(folder: Path, rows: object = 1) -> Path:
    data, weight = relay.var("data", shape=(rows, 3, 8, 8)), relay.var("weight", shape=WEIGHT.shape)
    body = relay.nn.relu(relay.nn.conv2d(data, weight, channels=8, kernel_size=3, padding=1))
    mod = tvm.IRModule.from_expr(relay.Function([data, weight], body))
    (folder / "net.json").write_text(tvm.ir.save_json(mod))
    (folder / "net.params").write_bytes(relay.save_param_dict({"weight": tvm.nd.array(WEIGHT)}))
    return folder / "net.json"


def test_relay_with_parameters_beside_it(tmp_path: Path) -> None:
    network = load_model(save_relay(tmp_path))
    assert network.inputs == (InputSpec("data", (1, 3, 8, 8)),) and set(network.params) == {"weight"}
    x = np.ones((1, 3, 8, 8), dtype=np.float32)
    # another layout of its convolutions changes neither inputs nor outputs
    nhwc = with_layout(network, "NHWC")
    assert nhwc.inputs == network.inputs and "NHWC" in str(nhwc.mod)
    np.testing.assert_allclose(output_of(nhwc, x), output_of(network, x), rtol=1e-4, atol=1e-5)
    with pytest.raises(WorkloadError, match="unknown layout 'HWCN'"):
        with_layout(network, "HWCN")


def test_relay_with_free_rows(tmp_path: Path) -> None:
    path = save_relay(tmp_path, relay.Any())
    with pytest.raises(WorkloadError, match=r"the shape of input 'data' is not known \(data=\?,3,8,8\)"):
        load_model(path)
    assert load_model(path, ["2,3,8,8"]).inputs == (InputSpec("data", (2, 3, 8, 8)),)


def test_relay_without_its_parameters_takes_them_as_inputs(tmp_path: Path) -> None:
    path = save_relay(tmp_path)
    (tmp_path / "net.params").unlink()
    assert [spec.name for spec in load_model(path).inputs] == ["data", "weight"]


def test_parameters_of_another_network_are_refused(tmp_path: Path) -> None:
    path = save_relay(tmp_path)
    (tmp_path / "net.params").write_bytes(relay.save_param_dict({"bias": tvm.nd.array(WEIGHT)}))
    with pytest.raises(WorkloadError, match="net.params does not belong to net.json: its main takes no bias"):
        load_model(path)
    (tmp_path / "net.params").write_bytes(b"damaged")
    with pytest.raises(WorkloadError, match="net.params cannot be read"):
        load_model(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 and no more", "is damaged"),
        (b"{", "is damaged"),
        (b'{"layers": []}', "is JSON, but not Relay"),
        (b'{"i": [["[]", "llvm"], [[], []]], "r": [[1], 0, 1, 1], "v": "v0.6"}\n' * 2, "is a log of records"),
        (b"\x80\x02}q\x00.", "holds pickled Python objects"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(60), "is a TensorFlow Lite model"),
        (b"\x89HDF\r\n\x1a\n" + bytes(60), r"is an HDF5 file \(Keras\)"),
        (struct.pack("<Q", 2) + b"{}" + bytes(60), "is a safetensors file"),
        (b"import torch\n", "is no model"),
        (b"some words", "is of no known format; what is read: ONNX"),
    ],
)
def test_what_is_no_model_gets_one_clear_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(content)
    with pytest.raises(WorkloadError, match=message):
        load_model(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="none.onnx cannot be read: No such file"):
        load_model(tmp_path / "none.onnx")
    with pytest.raises(WorkloadError, match="is a folder"):
        load_model(tmp_path)


def test_json_that_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "shape.json").write_text(tvm.ir.save_json(tvm.runtime.convert([1, 2])))
    with pytest.raises(WorkloadError, match="a network is an IRModule"):
        load_model(tmp_path / "shape.json")
    found = json.loads(save_relay(tmp_path).read_text())
    found["nodes"] = found["nodes"][:5]
    (tmp_path / "cut.json").write_text(json.dumps(found))
    with pytest.raises(WorkloadError, match="cut.json is damaged"):
        load_model(tmp_path / "cut.json")
