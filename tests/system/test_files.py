"""Files and folders that are replaced as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tvm_gnn_cost.system.files import finite_number, parse_json, replacing, replacing_folder, write_atomically


def test_a_file_is_replaced_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"first")
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(0o640)
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second" and path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_of_a_link_the_file_behind_it_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    behind, link = tmp_path / "folder" / "file", tmp_path / "link"
    behind.write_bytes(b"first")
    link.symlink_to(behind)
    write_atomically(link, b"second")
    assert link.is_symlink() and behind.read_bytes() == b"second"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path, folder = tmp_path / "file", tmp_path / "folder"
    path.write_bytes(b"first")
    folder.mkdir()
    (folder / "first").touch()
    with pytest.raises(error), replacing(path) as out:
        out.write(b"half")
        raise error
    with pytest.raises(error), replacing_folder(folder) as new:
        (new / "half").touch()
        raise error
    assert path.read_bytes() == b"first" and os.listdir(folder) == ["first"]
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    for name in ("first", "second"):
        with replacing_folder(folder) as new:
            (new / name).touch()
            assert name not in (os.listdir(folder) if folder.exists() else [])
    assert os.listdir(folder) == ["second"] and os.listdir(tmp_path / "deep") == ["folder"]


def test_json_that_is_nested_too_deeply_is_as_wrong_as_any_other() -> None:
    assert parse_json(b'{"a": [1, 2.5]}') == {"a": [1, 2.5]}
    for text in ("{", "[" * 100_000):
        with pytest.raises(ValueError):
            parse_json(text)


@pytest.mark.parametrize(("value", "number"), [(3, 3.0), (0.25, 0.25), (10**300, 1e300)])
def test_numbers_of_json(value: object, number: float) -> None:
    assert finite_number(value) == number


@pytest.mark.parametrize("value", [True, "1", None, [1], float("nan"), float("-inf"), 10**400, -(10**400)])
def test_what_is_no_number(value: object) -> None:
    assert finite_number(value) is None
