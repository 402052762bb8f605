"""Networks from `tvm.relay.testing` by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.networks.network import Network, make_network
from tvm_gnn_cost.system.find_tvm import require_relay

LAYOUTS = ("NCHW", "NHWC")


@dataclass(frozen=True)
class _Entry:
    module: str
    image_shape: tuple[int, ...]  # channels first
    layouts: tuple[str, ...] = ("NCHW",)
    options: tuple[tuple[str, Any], ...] = ()
    resizable: bool = True


_NETWORKS: dict[str, _Entry] = {
    "mlp": _Entry("mlp", (1, 28, 28)),
    "resnet-18": _Entry("resnet", (3, 224, 224), LAYOUTS, (("num_layers", 18),)),
    "resnet-34": _Entry("resnet", (3, 224, 224), LAYOUTS, (("num_layers", 34),)),
    "resnet-50": _Entry("resnet", (3, 224, 224), LAYOUTS, (("num_layers", 50),)),
    "resnet3d-18": _Entry("resnet_3d", (3, 16, 112, 112), (), (("num_layers", 18),)),
    "mobilenet": _Entry("mobilenet", (3, 224, 224), LAYOUTS),
    "squeezenet-1.0": _Entry("squeezenet", (3, 224, 224), (), (("version", "1.0"),)),
    "squeezenet-1.1": _Entry("squeezenet", (3, 224, 224), (), (("version", "1.1"),)),
    "densenet-121": _Entry("densenet", (3, 224, 224), (), (("densenet_size", 121),)),
    "vgg-11": _Entry("vgg", (3, 224, 224), (), (("num_layers", 11),)),
    "vgg-16": _Entry("vgg", (3, 224, 224), (), (("num_layers", 16),)),
    "inception-v3": _Entry("inception_v3", (3, 299, 299)),
    "dcgan": _Entry("dcgan", (100,), LAYOUTS, resizable=False),
    "dqn": _Entry("dqn", (4, 84, 84), LAYOUTS),
}


def network_names() -> list[str]:
    """The names that `load_network` takes."""
    return list(_NETWORKS)


def load_network(
    name: str,
    *,
    batch_size: int = 1,
    layout: str = "NCHW",
    image_shape: tuple[int, ...] | None = None,
    dtype: str = "float32",
) -> Network:
    """A network from `tvm.relay.testing`, with its random parameters.

    Args:
        name: see `network_names`.
        batch_size: images in a batch, at least 1.
        layout: "NCHW" or, where the network has it, "NHWC" (which auto_scheduler tunes better on a CPU).
        image_shape: the shape of one input, channels first, whatever the layout; None is the network's own.
        dtype: the element type.

    Raises WorkloadError for an unknown name, layout or shape.
    """
    entry = _entry(name)
    require_relay(f"network {name}")
    _check_batch_and_layout(name, entry, batch_size, layout)
    shape = _image_shape(name, entry, image_shape)
    options: dict[str, Any] = dict(entry.options) | {"batch_size": batch_size, "dtype": dtype}
    if len(entry.layouts) > 1:
        options["layout"] = layout
    if entry.resizable:
        options["image_shape"] = (*shape[1:], shape[0]) if layout == "NHWC" and len(shape) > 1 else shape
    source = {"network": name, "batch_size": batch_size, "layout": layout, "image_shape": list(shape), "dtype": dtype}
    try:
        mod, params = _get_workload(entry.module)(**options)
        return make_network(name, mod, params, source)
    except Exception as error:  # Relay's type inference raises its own errors for shapes that do not fit
        raise WorkloadError(f"{name} cannot be made with {options}: {last_line(error)}") from error


def _entry(name: str) -> _Entry:
    if name not in _NETWORKS:
        matches = difflib.get_close_matches(name.lower(), _NETWORKS, n=4, cutoff=0.4)
        hint = f"did you mean {', '.join(matches)}?" if matches else f"known: {', '.join(_NETWORKS)}"
        raise WorkloadError(f"unknown network {name!r}; {hint}")
    return _NETWORKS[name]


def _check_batch_and_layout(name: str, entry: _Entry, batch_size: int, layout: str) -> None:
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise WorkloadError(f"batch_size is {batch_size!r}; it must be an integer of at least 1")
    layouts = entry.layouts or ("NCHW",)
    if layout not in layouts:
        raise WorkloadError(f"{name} has no layout {layout!r}; it has {', '.join(layouts)}")


def _image_shape(name: str, entry: _Entry, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
    """The shape of one input, channels first."""
    if wanted is None:
        return entry.image_shape
    if not entry.resizable:
        raise WorkloadError(f"{name} takes no image shape; its input is {entry.image_shape}")
    shape = tuple(wanted)
    if len(shape) != len(entry.image_shape) or any(not isinstance(d, int) or d < 1 for d in shape):
        raise WorkloadError(f"{name} takes an image shape like {entry.image_shape}, channels first, not {shape}")
    return shape


def _get_workload(module: str) -> Callable[..., tuple[Any, dict[str, Any]]]:
    from importlib import import_module

    get_workload: Callable[..., tuple[Any, dict[str, Any]]] = import_module(f"tvm.relay.testing.{module}").get_workload
    return get_workload
