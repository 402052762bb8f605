"""A workload: a function that returns te tensors, with its arguments. Found by name, whoever's it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.workloads.checks import checked
from tvm_gnn_cost.workloads.registry import describe, join, signature_of

if TYPE_CHECKING:
    from tvm_gnn_cost.workloads.registry import Argument
    from tvm_gnn_cost.workloads.tensors import Tensors


@dataclass(frozen=True)
class Workload:
    """A workload of the package.

    Attributes:
        name: what it is registered as: the first part of its workload key.
        function: returns TE tensors, the inputs and the outputs.
        arguments: checked against its signature.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Argument, ...]

    @property
    def key(self) -> str:
        """auto_scheduler's workload key: a JSON list of the name and the arguments."""
        return json.dumps([self.name, *self.arguments])

    @property
    def label(self) -> str:
        """As on a command line: `matmul 512 512 512`."""
        return describe(self.key)

    def tensors(self) -> Tensors:
        """What the function returns, inputs first. Some functions ask for the target: call it within `with target:`.

        Raises WorkloadError where it fails, or returns what cannot be scheduled.
        """
        try:
            result = self.function(*json.loads(self.key)[1:])
        except Exception as error:  # TVM raises many kinds of error for shapes that do not fit together
            raise WorkloadError(
                f"{self.label}({join(self.arguments)}) cannot be built: {last_line(error)}. "
                f"Arguments: {signature_of(self.function)}"
            ) from error
        return checked(self.label, result)
