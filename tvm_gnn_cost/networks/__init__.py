"""Networks as Relay programs: by name from `tvm.relay.testing`, from files of other programs, from PyTorch modules.

Importing this loads neither TVM nor torch.
"""

from __future__ import annotations

from tvm_gnn_cost.networks.files import load_model
from tvm_gnn_cost.networks.inputs import InputSpec
from tvm_gnn_cost.networks.layouts import with_layout
from tvm_gnn_cost.networks.named import load_network, network_names
from tvm_gnn_cost.networks.network import Network
from tvm_gnn_cost.networks.offline import without_downloads, without_remarks

__all__ = [
    "InputSpec",
    "Network",
    "load_model",
    "load_network",
    "network_names",
    "with_layout",
    "without_downloads",
    "without_remarks",
]
