"""`python -m tvm_gnn_cost`: the command line, as `torchrun` starts it too."""

from __future__ import annotations

import sys

from tvm_gnn_cost.cli import main

if __name__ == "__main__":
    sys.exit(main())
