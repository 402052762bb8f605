"""The library's messages name parameters, in backticks; a user of the command line knows them as options."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

OPTION_OF: Mapping[str, str] = MappingProxyType(
    {
        "definitions": "--register",
        "inputs": "--input",
        "jobs": "--jobs",
        "learnt": "--learn",
        "replay.round": "--round",
        "training": "--train, --split or --hold-out",
        "restart": "--restart",
        "resume": "--resume",
        "tracker": "--rpc",
        "compiler": "--cross-compiler",
        "start_from": "--start-from",
        "keep_graphs": "tvm-gnn-cost graphs",
    }
)
"""Parameter -> option."""


def with_options(message: str) -> str:
    """The message with options in place of the parameters that have one."""
    return re.sub(r"`([a-z_.]+)`", lambda match: OPTION_OF.get(match[1], match[0]), message)
