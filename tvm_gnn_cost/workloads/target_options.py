"""Targets as a kind with options, `llvm -mcpu=znver4 -num-cores=2`, which TVM itself reads no more since 0.25."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.system.find_tvm import require_tvm

if TYPE_CHECKING:
    from tvm.target import Target


def make_target(text: str) -> Target:
    """TVM's target for a text that it reads, or for a kind with options. Raises what TVM raises, and ValueError."""
    target: Any = require_tvm().target
    words = shlex.split(text)
    if text.startswith("{") or len(words) < 2 or _reads_options(target.Target):
        return target.Target(text)
    return target.Target({"kind": words[0], **_options(words[1:], target.TargetKind.options_from_name(words[0]))})


def _reads_options(target: Any) -> bool:
    try:
        target("llvm -num-cores=1")
    except ValueError:
        return False
    return True


def _options(words: list[str], types: Mapping[str, str]) -> dict[str, Any]:
    """`-name=value` and `-name value`; a name without a value is true."""
    found: dict[str, Any] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            raise ValueError(f"{word!r} is no option; options are -name=value")
        name, has_value, value = word.lstrip("-").partition("=")
        if name not in types:
            raise ValueError(f"there is no option {name!r}; known: {', '.join(sorted(map(str, types)))}")
        if not has_value and left and not left[0].startswith("-"):
            has_value, value = "=", left.pop(0)
        found[name] = _value(name, value if has_value else None, str(types[name]))
    return found


def _value(name: str, text: str | None, kind: str) -> Any:
    if kind == "bool":
        if text not in (None, "0", "1", "true", "false", "True", "False"):
            raise ValueError(f"option {name!r} is 0 or 1, not {text!r}")
        return text in (None, "1", "true", "True")
    if text is None:
        raise ValueError(f"option {name!r} has no value")
    if kind == "int":
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"option {name!r} is a whole number, not {text!r}") from None
    return [part for part in text.split(",") if part] if kind.startswith("Array") else text
