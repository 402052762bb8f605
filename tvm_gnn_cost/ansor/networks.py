"""Networks from `tvm.relay.testing` by name, and the tuning tasks in them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tvm_gnn_cost.ansor.hardware_params import hardware_params_for
from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.system.find_tvm import require_auto_scheduler
from tvm_gnn_cost.workloads.targets import parse_target

if TYPE_CHECKING:
    from tvm.auto_scheduler import SearchTask
    from tvm.target import Target

LAYOUTS = ("NCHW", "NHWC")
_TOPHUB_LOCATION = "TOPHUB_LOCATION"
"""Where AutoTVM fetches tuning records from; "NONE" means nowhere (`tvm/autotvm/env.py`, `tophub.py`)."""


@dataclass(frozen=True)
class Network:
    """A Relay network with random parameters.

    Attributes:
        name: as given to `load_network`.
        mod: the `tvm.IRModule`.
        params: name -> `tvm.nd.NDArray`.
        input_name: the name of its one input.
        input_shape: the shape of that input, the batch first.
    """

    name: str
    mod: Any
    params: dict[str, Any]
    input_name: str
    input_shape: tuple[int, ...]


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
    require_auto_scheduler()
    entry = _entry(name)
    _check_batch_and_layout(name, entry, batch_size, layout)
    shape = _image_shape(name, entry, image_shape)
    options: dict[str, Any] = dict(entry.options) | {"batch_size": batch_size, "dtype": dtype}
    if len(entry.layouts) > 1:
        options["layout"] = layout
    if entry.resizable:
        options["image_shape"] = (*shape[1:], shape[0]) if layout == "NHWC" and len(shape) > 1 else shape
    try:
        mod, params = _get_workload(entry.module)(**options)
        inputs = [p for p in mod["main"].params if p.name_hint not in params]
        input_shape = tuple(int(d) for d in inputs[0].type_annotation.shape)
    except Exception as error:  # Relay's type inference raises its own errors for shapes that do not fit
        raise WorkloadError(f"{name} cannot be made with {options}: {last_line(error)}") from error
    if _has_empty_tensor(mod):
        raise WorkloadError(f"{name} cannot be made with {options}: the image is too small, a tensor would be empty")
    return Network(name, mod, dict(params), inputs[0].name_hint, input_shape)


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


def network_tasks(network: Network, target: str | Target = "host") -> tuple[list[SearchTask], list[int]]:
    """The tuning tasks in a network, and how often each occurs (their weights).

    Extracting them also registers them with auto_scheduler, so that a log of theirs can be read. Raises WorkloadError
    where nothing in the network can be tuned for `target`.
    """
    auto_scheduler = require_auto_scheduler()
    parsed = parse_target(target)
    with without_downloads():
        tasks, weights = auto_scheduler.extract_tasks(
            network.mod, network.params, parsed, hardware_params=hardware_params_for(parsed)
        )
    if not tasks:
        raise WorkloadError(f"{network.name} holds no task that can be tuned for {parsed}")
    return list(tasks), [int(w) for w in weights]


@contextmanager
def without_downloads() -> Iterator[None]:
    """Keeps Relay from fetching other people's tuning records over the network while it compiles.

    Offline that matters: TVM's GPU schedules ask for such records by themselves, and where these cannot be fetched
    `extract_tasks` ends after the first such operator, without an error.
    """
    require_auto_scheduler()
    from tvm import autotvm

    location = os.environ.get(_TOPHUB_LOCATION)
    os.environ[_TOPHUB_LOCATION] = "NONE"
    try:
        with autotvm.apply_history_best([]):
            yield
    finally:
        if location is None:
            os.environ.pop(_TOPHUB_LOCATION, None)
        else:
            os.environ[_TOPHUB_LOCATION] = location


def _has_empty_tensor(mod: Any) -> bool:
    """Whether a tensor in the network has an extent below one, which Relay lets pass."""
    from tvm import relay

    extents: list[int] = []

    def visit(node: Any) -> None:
        if isinstance(node, relay.Call) and isinstance(node.checked_type, relay.TensorType):
            extents.extend(int(extent) for extent in node.checked_type.shape)

    relay.analysis.post_order_visit(relay.transform.InferType()(mod)["main"], visit)
    return any(extent < 1 for extent in extents)


def _get_workload(module: str) -> Callable[..., tuple[Any, dict[str, Any]]]:
    from importlib import import_module

    get_workload: Callable[..., tuple[Any, dict[str, Any]]] = import_module(f"tvm.relay.testing.{module}").get_workload
    return get_workload
