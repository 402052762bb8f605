"""The inputs of a network: what its file says of them, what a user gives, and whether the two agree."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tvm_gnn_cost.errors import InvalidArgumentError, WorkloadError

DTYPES = (
    *("float32", "float16", "bfloat16", "float64", "bool"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)
"""The element types that an input can have."""

_SHAPE = r"\d+(?:[,x]\d+)*"
_GIVEN = re.compile(rf"(?:(?P<name>.+)=)?\(?(?P<shape>{_SHAPE}|scalar),?\)?(?::(?P<dtype>\w+))?")


@dataclass(frozen=True)
class InputSpec:
    """An input of a network: its name, its shape (all extents at least 1), its element type."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"

    def __str__(self) -> str:
        return f"{self.name}={_shape_text(self.shape)}:{self.dtype}"


@dataclass(frozen=True)
class DeclaredInput:
    """What a file says of an input; None for what it leaves open (of the shape: as a whole, or single extents)."""

    name: str
    shape: tuple[int | None, ...] | None = None
    dtype: str | None = None

    @property
    def is_free(self) -> bool:
        return self.shape is None or None in self.shape

    def __str__(self) -> str:
        return f"{self.name}={'?' if self.shape is None else _shape_text(self.shape)}"


@dataclass(frozen=True)
class GivenInput:
    """What a user says of an input; without a name it is the only one, without a type it has the file's."""

    name: str | None
    shape: tuple[int, ...]
    dtype: str | None = None


def parse_input(text: str) -> GivenInput:
    """`name=1,3,224,224:float32`; the name and the type may be left out. Raises InvalidArgumentError.

    A number without axes is `name=scalar`.
    """
    match = _GIVEN.fullmatch(text.strip())
    if match is None:
        raise InvalidArgumentError(f"`inputs` has {text!r}; an input is like x=1,3,224,224 or x=1,3,224,224:float32")
    shape = () if match["shape"] == "scalar" else tuple(int(d) for d in re.split("[,x]", match["shape"]))
    if 0 in shape:
        raise InvalidArgumentError(f"`inputs` has {text!r}; extents are at least 1")
    dtype = match["dtype"]
    if dtype is not None and dtype not in DTYPES:
        raise InvalidArgumentError(f"`inputs` has {text!r}; an element type is one of {', '.join(DTYPES)}")
    return GivenInput(match["name"], shape, dtype)


def resolve_inputs(where: str, declared: Sequence[DeclaredInput], given: Sequence[GivenInput]) -> tuple[InputSpec, ...]:
    """The inputs of the network in the file `where`, in the file's order.

    Raises WorkloadError that names the input where a shape is missing, or contradicts the file.
    """
    chosen = _by_name(where, declared, given)
    missing = [item for item in declared if item.is_free and item.name not in chosen]
    if missing:
        example = ", ".join(f"{item.name}={_example(item)}" for item in missing)
        raise WorkloadError(
            f"{where}: the shape of {_plural('input', [item.name for item in missing])} is not known "
            f"({', '.join(map(str, missing))}): give it with `inputs`, as in {example}"
        )
    return tuple(_resolve(where, item, chosen.get(item.name)) for item in declared)


def _by_name(where: str, declared: Sequence[DeclaredInput], given: Sequence[GivenInput]) -> dict[str, GivenInput]:
    names = [item.name for item in declared]
    chosen: dict[str, GivenInput] = {}
    for item in given:
        name = item.name
        if name is None:
            if len(names) != 1:
                raise WorkloadError(
                    f"{where} has the inputs {', '.join(names) or '(none)'}: `inputs` says which, as in "
                    f"{names[0] if names else 'x'}={_shape_text(item.shape)}"
                )
            name = names[0]
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(names) or 'none'}"
            raise WorkloadError(f"{where} has no input {name!r} (`inputs`); {hint}")
        if name in chosen:
            raise WorkloadError(f"`inputs` gives input {name!r} of {where} twice")
        chosen[name] = item
    return chosen


def _resolve(where: str, declared: DeclaredInput, given: GivenInput | None) -> InputSpec:
    if given is None:
        assert declared.shape is not None  # `resolve_inputs` has seen to it
        return InputSpec(declared.name, tuple(d for d in declared.shape if d is not None), declared.dtype or "float32")
    fixed = declared.shape
    if fixed is not None and (
        len(fixed) != len(given.shape) or any(d not in (None, g) for d, g in zip(fixed, given.shape, strict=True))
    ):
        raise WorkloadError(
            f"{where}: input {declared.name!r} has the shape {_shape_text(fixed)}, and `inputs` gives "
            f"{_shape_text(given.shape)}"
        )
    if declared.dtype is not None and given.dtype not in (None, declared.dtype):
        raise WorkloadError(f"{where}: input {declared.name!r} is {declared.dtype}, and `inputs` gives {given.dtype}")
    return InputSpec(declared.name, given.shape, given.dtype or declared.dtype or "float32")


def _example(declared: DeclaredInput) -> str:
    shape = (1, 3, 224, 224) if declared.shape is None else tuple(d or 1 for d in declared.shape)
    return f"{_shape_text(shape)}:{declared.dtype or 'float32'}"


def _shape_text(shape: Sequence[int | None]) -> str:
    return ",".join("?" if d is None else str(d) for d in shape) or "scalar"


def _plural(what: str, names: Sequence[str]) -> str:
    return f"{what} {names[0]!r}" if len(names) == 1 else f"{what}s {', '.join(map(repr, names))}"
