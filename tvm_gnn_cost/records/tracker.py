"""TVM's RPC tracker, as a name."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tvm_gnn_cost.errors import InvalidArgumentError


@dataclass(frozen=True)
class Tracker:
    """TVM's RPC tracker, and the key of the servers that measure."""

    key: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Tracker:
        """`KEY@HOST:PORT`. Raises InvalidArgumentError."""
        match = re.fullmatch(r"(?P<key>.+)@(?P<host>[^@]+):(?P<port>\d{1,5})", text)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise InvalidArgumentError(f"`tracker` is {text!r}; it is like epyc@192.168.1.10:9190 (KEY@HOST:PORT)")
        return cls(match["key"], match["host"].strip("[]"), int(match["port"]))

    def __str__(self) -> str:
        return f"{self.key}@{self.host}:{self.port}"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"
