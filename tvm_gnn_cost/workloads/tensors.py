"""What the definitions of workloads share."""

from __future__ import annotations

from tvm import te

Tensors = list[te.Tensor]


def inputs(**shapes: tuple[int, ...]) -> Tensors:
    """Placeholders in float32 of these names and shapes."""
    return [te.placeholder(shape, name=name) for name, shape in shapes.items()]
