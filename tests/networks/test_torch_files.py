"""PyTorch programs in files: what is read computes what PyTorch computes, and nothing in a file is executed."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from built_networks import IMAGE, TOKENS, assert_computes, conv_net, encoder
from torch import Tensor, nn

from tvm_gnn_cost import WorkloadError
from tvm_gnn_cost.networks import InputSpec, load_model


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.pt2"
    torch.export.save(torch.export.export(conv_net(), (IMAGE,)), path)
    return path


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traced") / "net.pt"
    torch.jit.save(torch.jit.trace(conv_net(), IMAGE), path)
    return path


def test_an_exported_program(exported: Path) -> None:
    network = load_model(exported)
    assert network.inputs == (InputSpec("image", (1, 3, 16, 16)),)
    assert network.source["format"] == "torch.export" and network.source["file"] == "net.pt2"
    assert_computes(network, conv_net(), IMAGE)


def test_an_exported_encoder_under_another_name(tmp_path: Path) -> None:
    """The format is found by content."""
    torch.export.save(torch.export.export(encoder(), (TOKENS,)), tmp_path / "encoder.pt2")
    (tmp_path / "encoder.pt2").rename(tmp_path / "encoder.onnx")
    assert_computes(load_model(tmp_path / "encoder.onnx"), encoder(), TOKENS)


def test_free_dimensions_of_an_exported_program_are_given(tmp_path: Path) -> None:
    class Windows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            halves = x.reshape(x.shape[0] * 2, 3)
            return torch.cat([halves, halves.flip(0)], dim=1) * (x.shape[0] // 2)

    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(Windows(), (torch.ones(4, 6),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "windows.pt2")
    with pytest.raises(WorkloadError, match=r"the shape of input 'x' is not known \(x=\?,6\).*x=1,6:float32"):
        load_model(tmp_path / "windows.pt2")
    network = load_model(tmp_path / "windows.pt2", ["4,6"])
    assert network.inputs == (InputSpec("x", (4, 6)),)
    assert_computes(network, Windows(), torch.rand(4, 6))


def test_a_trace(traced: Path) -> None:
    with pytest.raises(WorkloadError, match="the shape of input 'image' is not known"):
        load_model(traced)
    assert_computes(load_model(traced, ["image=1,3,16,16"]), conv_net(), IMAGE)


@pytest.mark.parametrize(("make", "example"), [(conv_net, IMAGE), (encoder, TOKENS)])
def test_a_scripted_program(tmp_path: Path, make: Callable[[], nn.Module], example: Tensor) -> None:
    torch.jit.save(torch.jit.script(make()), tmp_path / "scripted.pt")
    assert_computes(load_model(tmp_path / "scripted.pt", [",".join(map(str, example.shape))]), make(), example)


def test_loops_and_branches_of_a_scripted_program_are_followed(tmp_path: Path) -> None:
    class Steps(nn.Module):
        def forward(self, x: Tensor, count: int = 3) -> Tensor:
            parts: list[Tensor] = []
            for i in range(count):
                if x.dim() == 2 and i != 1:
                    x = x * (i + 2)
                parts.append(x)
            return torch.cat(parts, dim=-1)

    torch.jit.save(torch.jit.script(Steps()), tmp_path / "steps.pt")
    assert_computes(load_model(tmp_path / "steps.pt", ["2,4"]), Steps(), torch.ones(2, 4))


def test_operators_that_tvm_cannot_import_are_all_named(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.lgamma(x) + torch.igamma(x, x) + torch.relu(x)

    torch.export.save(torch.export.export(Odd(), (torch.ones(4),)), tmp_path / "odd.pt2")
    with pytest.raises(WorkloadError, match="these operators of odd.pt2: aten::igamma, aten::lgamma"):
        load_model(tmp_path / "odd.pt2")


class Bomb:
    """Unpickling it would leave a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.mark), "w"))


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> Path:
    """The archive with its entries changed, and others added."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        top = old.namelist()[0].partition("/")[0]
        for name in old.namelist():
            new.writestr(name, change(name.partition("/")[2], old.read(name)))
        for name, content in more.items():
            new.writestr(f"{top}/{name}", content)
    return target


def test_nothing_is_unpickled(tmp_path: Path, exported: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "whole.pt").write_bytes(pickle.dumps(Bomb(mark)))
    torch.save(conv_net(), tmp_path / "module.pt")
    torch.save(conv_net().state_dict(), tmp_path / "state.pt")
    for name in ("whole.pt", "module.pt", "state.pt"):
        with pytest.raises(WorkloadError, match=r"holds pickled Python objects.*torch\.export\.save"):
            load_model(tmp_path / name)

    def pickled(name: str, content: bytes) -> bytes:
        if name == "data/weights/weight_0" or name.startswith("data/sample_inputs"):
            return pickle.dumps(Bomb(mark))
        if name.endswith("weights_config.json"):
            config = json.loads(content)
            config["config"]["first.weight"]["use_pickle"] = True
            return json.dumps(config).encode()
        return content

    with pytest.raises(WorkloadError, match="holds first.weight in pickled form"):
        load_model(rewritten(exported, tmp_path / "bomb.pt2", pickled))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("target", "arguments"),
    [
        ("torch.os.system", {"as_string": "touch mark"}),
        ("torch.hub.load", {"as_string": "somewhere"}),
        ("torch.ops.aten.from_file.default", {"as_string": "mark"}),
        ("torch.ops.higher_order.cond", {"as_none": True}),
    ],
)
def test_an_exported_program_calls_operators_on_tensors_alone(
    tmp_path: Path, exported: Path, target: str, arguments: dict[str, Any]
) -> None:
    def changed(name: str, content: bytes) -> bytes:
        if name != "models/model.json":
            return content
        model = json.loads(content)
        node = model["graph_module"]["graph"]["nodes"][0]
        node["target"], node["inputs"] = target, [{"name": "filename", "arg": arguments, "kind": 1}]
        return json.dumps(model).encode()

    with pytest.raises(WorkloadError, match=f"operators that cannot be imported: {target}"):
        load_model(rewritten(exported, tmp_path / "changed.pt2", changed))


def test_torchscript_that_runs_while_loading_or_takes_files_is_refused(tmp_path: Path) -> None:
    class Stateful(nn.Module):
        @torch.jit.export
        def __getstate__(self) -> tuple[Tensor, bool]:
            return torch.ones(1), self.training

        @torch.jit.export
        def __setstate__(self, state: tuple[Tensor, bool]) -> None:
            self.training = state[1]

        def forward(self, x: Tensor) -> Tensor:
            return x

    class Saving(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.dim() == 2:
                torch.save(x, "mark")
            return x

    torch.jit.save(torch.jit.script(Stateful()), tmp_path / "stateful.pt")
    with pytest.raises(WorkloadError, match="code that runs while it is loaded"):
        load_model(tmp_path / "stateful.pt", ["1,2"])
    torch.jit.save(torch.jit.script(Saving()), tmp_path / "saving.pt")
    with pytest.raises(WorkloadError, match="not run from a file: aten::save"):
        load_model(tmp_path / "saving.pt", ["1,2"])


def test_damaged_programs_get_one_clear_error(tmp_path: Path, exported: Path, traced: Path) -> None:
    for path, inputs in ((exported, []), (traced, ["1,3,16,16"])):
        cut = tmp_path / path.name
        cut.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(WorkloadError, match="is damaged"):
            load_model(cut, inputs)
    without = rewritten(exported, tmp_path / "w.pt2", lambda n, c: b"{}" if n == "models/model.json" else c)
    with pytest.raises(WorkloadError, match="is damaged"):
        load_model(without)
    short = rewritten(exported, tmp_path / "s.pt2", lambda n, c: c[:8] if n == "data/weights/weight_0" else c)
    with pytest.raises(WorkloadError, match="is damaged"):
        load_model(short)
    compiled = rewritten(exported, tmp_path / "c.pt2", lambda n, c: c, **{"data/aotinductor/model/a.so": b""})
    with pytest.raises(WorkloadError, match="holds compiled code"):
        load_model(compiled)
