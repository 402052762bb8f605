"""Networks from files on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from built_networks import IMAGE, conv_net

from tvm_gnn_cost.cli import main

QUICK = ["--repeat", "1", "--min-repeat-ms", "1", "--round", "4", "--population", "16"]


@pytest.fixture(autouse=True)
def in_folder_with_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    torch.export.save(torch.export.export(conv_net(), (IMAGE,)), "net.pt2")
    torch.jit.save(torch.jit.trace(conv_net(), IMAGE), "net.pt")
    torch.save(conv_net(), "module.pt")


def test_tune_a_file_and_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tune", "--model", "net.pt2", "--layout", "NHWC", "--cost-model", "xgboost", *QUICK]
    assert main([*command, "--trials", "4"]) == 0
    out = capsys.readouterr().out
    assert "4 trials measured" in out and "conv2d" in out and "log: net.pt2_NHWC.json" in out
    assert main([*command, "--trials", "6", "--resume", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["trials"] == 2 and result["resumed"] == 4
    assert 0 < result["untuned_latency_s"] < 1


def test_collect_and_compare_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["--input", "image=1,3,16,16"]
    collect = ["--trials", "1", "--batch", "1", "--repeat", "1", "--min-repeat-ms", "1", "--wait-quiet", "0"]
    assert main(["collect", "--model", "net.pt", *shape, *collect, "--population", "16", "--remeasure", "0"]) in (0, 1)
    pools = sorted(Path("pools").glob("net.pt_image_1_3_16_16-*.json"))
    assert len(pools) >= 3
    assert '"format": "torchscript"' in (Path("pools/about") / pools[0].name).read_text()
    compare = ["compare", "--model", "net.pt2", "--models", "xgboost", "--trials", "1", *QUICK]
    main(compare)
    capsys.readouterr()
    torch.export.save(torch.export.export(conv_net().double(), (IMAGE.double(),)), "net.pt2")
    assert main(compare) == 2  # the file has changed
    assert "sha256 was" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["net.pt"],
            "the shape of input 'image' is not known (image=?): give it with --input, as in image=1,3,224,224",
        ),
        (["net.pt", "--input", "img=1,3,16,16"], "has no input 'img' (--input); did you mean image?"),
        (["net.pt2", "--input", "1,4,16,16"], "input 'image' has the shape 1,3,16,16, and --input gives 1,4,16,16"),
        (["net.pt2", "--input", "image"], "--input has 'image'; an input is like x=1,3,224,224"),
        (["net.pt2", "--layout", "HWCN"], "unknown layout 'HWCN'"),
        (["module.pt"], "torch.export.save(torch.export.export(module.eval(), (example,)), 'net.pt2')"),
        (["missing.onnx"], "missing.onnx cannot be read"),
        (["net.pt2", "--network", "mlp"], "give one network: --network or --model"),
    ],
)
def test_what_does_not_fit_gets_one_clear_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--model", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_inputs_go_with_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--network", "mlp", "--input", "1,784"]) == 2
    assert "--input goes with --model" in capsys.readouterr().err
    assert main(["collect", "--model", "net.pt2", "--workloads", "w.txt"]) == 2
    assert "--workloads stands alone" in capsys.readouterr().err
