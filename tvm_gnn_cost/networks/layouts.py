"""Another layout for a network's convolutions; auto_scheduler tunes those with the channels last better on a CPU."""

from __future__ import annotations

from tvm_gnn_cost.errors import WorkloadError, last_line
from tvm_gnn_cost.networks.network import Network, make_network
from tvm_gnn_cost.system.find_tvm import require_relay, require_tvm

_LAYOUTS = {
    "NCHW": {"nn.conv2d": "NCHW", "nn.conv2d_transpose": "NCHW", "nn.conv3d": "NCDHW"},
    "NHWC": {"nn.conv2d": "NHWC", "nn.conv2d_transpose": "NHWC", "nn.conv3d": "NDHWC"},
}


def with_layout(network: Network, layout: str) -> Network:
    """The network with its convolutions in `layout`, "NCHW" or "NHWC"; inputs and outputs are as they were.

    Raises WorkloadError for another layout, and where TVM cannot convert the network.
    """
    require_relay(f"the layout of {network.name}")
    tvm = require_tvm()
    from tvm import relay

    if layout not in _LAYOUTS:
        raise WorkloadError(f"unknown layout {layout!r}; known: {', '.join(_LAYOUTS)}")
    wanted = {operator: [data, "default"] for operator, data in _LAYOUTS[layout].items()}
    try:
        with tvm.transform.PassContext(opt_level=3):
            mod = relay.transform.ConvertLayout(wanted)(network.mod)
    except Exception as error:  # TVMError of many kinds
        raise WorkloadError(f"{network.name} cannot be converted to {layout}: {last_line(error)}") from error
    return make_network(network.name, mod, network.params, network.source | {"layout": layout})
