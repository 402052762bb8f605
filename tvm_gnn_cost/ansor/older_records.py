"""Records that older releases of TVM wrote, in the form that this one reads.

What differs (`measure_record.cc` of the releases):

* records of version v0.2 name a task's workload and target alone; until v0.6 there came, in this order, the hardware
  parameters, the target's host, the layout option and the names of its inputs. TVM's reader leaves undefined what is
  missing, and refuses some of the forms.
* targets name options that TVM has dropped since, such as `-link-params` and `-runtime`: no such target can be made.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable
from typing import Any

from tvm_gnn_cost.ansor.task_identity import default_hardware, default_layout
from tvm_gnn_cost.errors import RecordError, last_line
from tvm_gnn_cost.system.files import parse_json
from tvm_gnn_cost.system.find_tvm import require_tvm

logger = logging.getLogger("tvm_gnn_cost")

FIELDS = 6
"""Of a task in a record of today: workload, target, hardware, host, layout option, names of inputs."""

_WORD = re.compile(r"""(?:[^\s"']|"(?:\\.|[^"])*"|'(?:\\.|[^'])*')+""")


class RecordUpgrade:
    """Brings the records of one log to the form of today.

    Options of targets that TVM does not know are left out, and the log says once for each target which these were.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._targets: dict[str, str] = {}  # those that TVM makes as they are included

    def __call__(self, text: str, record: dict[str, Any]) -> str:
        """The line of a record; `record` is what it holds, in order of `record_format`.

        Raises RecordError for a target that TVM cannot make, even without the options that it does not know.
        """
        task = record["i"][0]
        upgraded = [*task[:1], self._target(task[1]), *task[2:]]
        if len(task) > 3 and task[3]:
            upgraded[3] = self._target(task[3])
        if len(task) < FIELDS:
            target = require_tvm().target.Target(upgraded[1])
            hardware = default_hardware(target)
            if len(task) == 2 and not hardware:
                raise RecordError(f"it names no hardware parameters, and there is no device to ask for {upgraded[1]!r}")
            upgraded += [list(hardware), "", default_layout(target), []][len(task) - 2 :]
        if upgraded == task:
            return text
        return json.dumps({**record, "i": [upgraded, record["i"][1]]})

    def _target(self, text: str) -> str:
        if text not in self._targets:
            known, dropped = without_unknown_options(text)
            if dropped:
                logger.warning(
                    "%s: this TVM knows no option %s of the target %r; its records are read without", self._path,
                    ", ".join(dropped), text,
                )  # fmt: skip
            self._targets[text] = known
        return self._targets[text]


def without_unknown_options(text: str) -> tuple[str, list[str]]:
    """A target's string, or JSON, without the options that TVM does not know; and which these were.

    Raises RecordError where TVM cannot make the target then either.
    """
    first = _problem(text)
    if first is None:
        return text, []
    try:
        described = parse_json(text)
    except ValueError:
        described = None
    if isinstance(described, dict):
        known = _known_options(str(described.get("kind")))
        dropped = sorted(name for name in described if name not in known)
        shorter = json.dumps({name: value for name, value in described.items() if name not in dropped})
    else:
        shorter, dropped = _shorter(text)
    problem = _problem(shorter) if dropped else first
    if problem is not None:
        raise RecordError(f"TVM cannot make its target {text!r}: {problem}")
    return shorter, [f"-{name}" for name in dropped]


def _shorter(text: str) -> tuple[str, list[str]]:
    """A target's string without unknown options, as TVM takes it apart: -name=value, -name value, or -name."""
    kind, *words = _WORD.findall(text) or [""]
    known = _known_options(kind)
    kept, dropped, skipping = [kind], [], False
    for word in words:
        if word.startswith("-"):
            name = word.lstrip("-").partition("=")[0]
            skipping = name not in known
            if skipping:
                dropped.append(name)
        if not skipping:
            kept.append(word)
    return " ".join(kept), list(dict.fromkeys(dropped))


def _known_options(kind: str) -> Iterable[str]:
    target = require_tvm().target
    if kind not in list(target.Target.list_kinds()):
        return ()
    return {"kind", *map(str, target._ffi_api.ListTargetKindOptionsFromName(kind))}


def _problem(text: str) -> str | None:
    """Why TVM cannot make the target of a string, or None."""
    try:
        require_tvm().target.Target(text)
    except Exception as error:  # TVM raises ValueError, TypeError, KeyError and its own
        return last_line(error)
    return None
