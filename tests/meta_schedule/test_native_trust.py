"""The native reader of TIR programs is used where it has proved itself, and nowhere else."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from meta_schedule.programs import CPU, matmul

from tvm_gnn_cost.meta_schedule.native import trust
from tvm_gnn_cost.meta_schedule.native.trust import Extension
from tvm_gnn_cost.meta_schedule.source import NativeTIRSource, TIRSource, make_source
from tvm_gnn_cost.system import native_extension

_native = pytest.importorskip("tvm_gnn_cost._native")

needs_tvm_ffi = pytest.mark.skipif(not trust.has_tvm_ffi(), reason="this TVM has no tvm-ffi")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """No verdict known, neither in this process nor on disk. The file that will hold it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(native_extension.SWITCH, raising=False)
    trust.usable_extension.cache_clear()
    yield tmp_path / "tvm-gnn-cost" / "native-proved.json"
    trust.usable_extension.cache_clear()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@needs_tvm_ffi
def test_is_used_once_it_has_proved_itself(
    fresh: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    extension = trust.usable_extension()
    assert extension is not None and extension.tvm is not None and not warnings_of(caplog)
    assert isinstance(make_source(matmul(), CPU), NativeTIRSource)

    monkeypatch.setattr(trust, "run_proof", lambda: pytest.fail("the verdict was on disk"))
    trust.usable_extension.cache_clear()
    assert len(json.loads(fresh.read_text())) == 1
    assert trust.usable_extension() is not None


def test_without_tvm_ffi_features_alone_are_native(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "has_tvm_ffi", lambda: False)
    monkeypatch.setattr(trust, "run_proof", lambda: pytest.fail("nothing of TVM's memory is read"))
    assert trust.usable_extension() == Extension(_native, None)
    assert isinstance(make_source(matmul(), CPU), NativeTIRSource) and not warnings_of(caplog)


@needs_tvm_ffi
@pytest.mark.parametrize("why", ["killed by signal 11", "another graph"])
def test_a_failed_proof_means_python_and_a_warning(
    fresh: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    monkeypatch.setattr(trust, "run_proof", lambda: why)
    assert trust.usable_extension() == Extension(_native, None)
    [warning] = warnings_of(caplog)
    assert why in warning and "read through Python" in warning
    assert not fresh.exists()


@needs_tvm_ffi
def test_the_proof_is_of_the_library_that_is_loaded() -> None:
    reason = native_extension.run_in_child(
        "tvm_gnn_cost.meta_schedule.native.proof", ["--ffi", "/elsewhere/libtvm_ffi.so"]
    )
    assert reason is not None and "is loaded here, not /elsewhere/libtvm_ffi.so" in reason


@needs_tvm_ffi
def test_the_proof_notices_other_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    from tvm_gnn_cost.graphs import native_writer
    from tvm_gnn_cost.meta_schedule.native import encoding, proof
    from tvm_gnn_cost.meta_schedule.native.proof_cases import proof_cases

    extension = Extension(_native, trust.load_tvm(_native))
    cases = list(proof_cases())[:1]
    assert proof.first_difference(extension, cases) is None
    encode = native_writer.encode_computation
    monkeypatch.setattr(native_writer, "encode_computation", lambda c: encode(c) | {"flop": encode(c)["flop"] + 1.0})
    difference = proof.first_difference(extension, cases)
    assert difference is not None and "product, CPU" in difference
    monkeypatch.undo()
    encode_blocks = encoding.encode_blocks
    monkeypatch.setattr(encoding, "encode_blocks", lambda stages: encode_blocks(stages)[:-1])
    assert "readable" in (proof.first_difference(extension, cases) or "")


@needs_tvm_ffi
def test_what_tvm_has_not_is_named() -> None:
    with pytest.raises(RuntimeError, match="tvm-ffi is not loaded from /elsewhere/libtvm_ffi.so"):
        _native.LoadedTvm("/elsewhere/libtvm_ffi.so")


@needs_tvm_ffi
def test_memory_that_is_no_program_is_not_understood() -> None:
    import numpy as np
    from tvm.ir import IRModule

    tvm = trust.load_tvm(_native)
    source = TIRSource(matmul(), CPU)
    extractor = NativeTIRSource(matmul(), CPU, Extension(_native, tvm))._builder._extractor
    module = IRModule({"main": matmul()})
    addresses = np.array([0, module.__chandle__(), source.target.__chandle__()], np.uint64)
    arrays, status, unregistered, error = extractor.extract(addresses)
    assert set(status.tolist()) == {3} and not len(unregistered) and error == "not a PrimFunc"


@pytest.mark.parametrize("what", ["turned off", "missing", "another schema"])
def test_without_the_extension_all_is_python(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    if what == "turned off":
        monkeypatch.setenv(native_extension.SWITCH, "0")
    elif what == "missing":
        monkeypatch.setitem(sys.modules, "tvm_gnn_cost._native", None)
    else:
        monkeypatch.setattr(_native, "SCHEMA_VERSION", -1)
    source = make_source(matmul(), CPU)
    assert type(source) is TIRSource
    warnings = {"turned off": [], "missing": ["was not built"], "another schema": ["built for schema -1"]}[what]
    found = warnings_of(caplog)
    assert len(found) == len(warnings) and all(text in line for text, line in zip(warnings, found, strict=True))


def test_a_child_that_crashes_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crashes.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert "killed by signal 11" in str(native_extension.run_in_child("crashes"))
    monkeypatch.setattr(native_extension, "PROOF_SECONDS", 0.01)
    assert "took more than" in str(native_extension.run_in_child("crashes"))


def test_a_proof_is_of_one_installation(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[Any] = []
    for key in ("one", "one", "two"):
        assert native_extension.first_proof_failure(key, lambda: runs.append(None)) is None
    assert len(runs) == 2 and len(json.loads(fresh.read_text())) == 2
