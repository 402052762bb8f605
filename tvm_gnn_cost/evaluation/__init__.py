"""How good cost models are, told from recorded pools: what `tvm-gnn-cost evaluate` runs.

Every model learns and scores the same records under the same seeds. Only `stock` needs TVM to be imported.
"""
