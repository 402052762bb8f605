"""The options that name a network: one of TVM's by name, or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvm_gnn_cost.errors import WorkloadError

if TYPE_CHECKING:
    from tvm_gnn_cost.networks import Network

NETWORK_OPTIONS = (
    click.option("--network", metavar="NAME", help="All tasks of a network from tvm.relay.testing instead."),
    click.option("--batch-size", type=click.IntRange(1), default=1, show_default=True, help="With --network."),
    click.option("--layout", help="NCHW or NHWC. With --network: its own [default: NCHW]; with --model: convert its "
                 "convolutions [default: as they are]."),
    click.option("--image-shape", metavar="C,H,W", help="The shape of an input, channels first, with --network."),
    click.option("--model", "model_file", metavar="FILE", help="All tasks of the network in a file instead: ONNX, "
                 "TorchScript, torch.export (.pt2), or Relay as JSON."),
    click.option("--input", "inputs", multiple=True, metavar="NAME=SHAPE[:TYPE]",
                 help="With --model, where shapes are free: x=1,3,224,224:float32; repeatable. NAME= may be left out "
                 "for a single input, :TYPE where the file has it or it is float32."),
)  # fmt: skip


@dataclass(frozen=True)
class NetworkChoice:
    """What a command line says of a network; see `NETWORK_OPTIONS`."""

    network: str | None = None
    batch_size: int = 1
    layout: str | None = None
    image_shape: str | None = None
    model_file: str | None = None
    inputs: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether a network is named at all."""
        return self.network is not None or self.model_file is not None

    @property
    def label(self) -> str:
        """What it is called in titles and in names of files."""
        if self.model_file is not None:
            return " ".join([Path(self.model_file).name, *self.inputs, *([self.layout] if self.layout else [])])
        return f"{self.network} batch {self.batch_size} {self.layout or 'NCHW'}" + (
            f" {self.image_shape}" if self.image_shape else ""
        )

    def load(self) -> Network:
        """The network. Raises WorkloadError for what is unknown or does not fit."""
        from tvm_gnn_cost.networks import load_model, load_network, with_layout

        if self.network is not None and self.model_file is not None:
            raise WorkloadError("give one network: --network or --model")
        if self.inputs and self.model_file is None:
            raise WorkloadError("--input goes with --model")
        if self.model_file is not None:
            net = load_model(self.model_file, self.inputs)
            return with_layout(net, self.layout) if self.layout else net
        assert self.network is not None
        shape = _parse_shape(self.image_shape) if self.image_shape else None
        return load_network(self.network, batch_size=self.batch_size, layout=self.layout or "NCHW", image_shape=shape)


def _parse_shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.replace("x", ",").split(","))
    except ValueError as error:
        raise WorkloadError(f"--image-shape is {text!r}; it is like 3,224,224") from error
