"""Files of the learner: a zip of `meta.json` and safetensors, written atomically. Nothing in it is code."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Collection, Mapping
from typing import Any

import safetensors
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from tvm_gnn_cost.errors import CheckpointError
from tvm_gnn_cost.system.files import parse_json, replacing

Tensors = dict[str, NDArray[Any]]

_META = "meta.json"
_SUFFIX = ".safetensors"


def write_archive(
    path: str | os.PathLike[str], meta: str, tensors: Mapping[str, Tensors], deflated: Collection[str] = ()
) -> None:
    """Replaces `path` by an archive. On any failure the file that was there before stays as it was.

    Args:
        path: the file; its folder must exist.
        meta: JSON, an object with the key "format".
        tensors: by member, contiguous.
        deflated: the members to compress.

    Raises CheckpointError where the file cannot be written (full disk, no permission, no folder).
    """
    try:
        with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr(_META, meta)
            for name, values in tensors.items():
                compression = (zipfile.ZIP_DEFLATED, 1) if name in deflated else (zipfile.ZIP_STORED, None)
                archive.writestr(name + _SUFFIX, save_tensors(values), *compression)
    except OSError as error:
        raise CheckpointError(f"cannot write checkpoint {path}: {error}; what was there is unchanged") from error


def read_archive(
    path: str | os.PathLike[str], form: str, needed: Collection[str], remedy: str = "fetch it again"
) -> tuple[dict[str, Any], dict[str, Tensors]]:
    """meta.json and the tensors by member, as far as they can be read; nothing of their content is checked.

    Args:
        path: a file that `write_archive` wrote.
        form: what meta.json must give as its "format".
        needed: the members that must be there.
        remedy: what to do about a damaged file, for the error.

    Raises CheckpointError where the file is missing, damaged or foreign.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if not {_META, *(name + _SUFFIX for name in needed)} <= set(names):
                raise CheckpointError(f"{path}: a zip file, but not a {form} checkpoint; name another file")
            meta = parse_json(archive.read(_META))
            if not isinstance(meta, dict) or meta.get("format") != form:
                raise CheckpointError(f"{path}: not a {form} checkpoint (another format); name another file")
            members = [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]
            return meta, {name: load_tensors(archive.read(name + _SUFFIX)) for name in members}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such checkpoint; check the path") from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    except zipfile.BadZipFile as error:
        if _is_of_xgboost(path):
            raise CheckpointError(
                f"{path}: a model of XGBoost, as XGBModel saves it, and no {form} checkpoint; learn from the records "
                "that it was trained on (update_from_file)"
            ) from error
        raise CheckpointError(f"{path}: not a checkpoint, or cut off or damaged ({error}); {remedy}") from error
    except (
        safetensors.SafetensorError, ValueError, KeyError, EOFError, zlib.error, RuntimeError, NotImplementedError,
    ) as error:  # fmt: skip
        raise CheckpointError(f"{path}: damaged ({error}); {remedy}") from error


def _is_of_xgboost(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as XGBoost's models do, JSON or UBJSON."""
    with open(path, "rb") as file:
        return b"learner" in file.read(32)
