"""How good cost models are, told from recorded pools: what `tvm-gnn-cost evaluate` runs.

A *method* (`methods`) is a cost model, a *problem* (`problems`) a recorded pool. An *experiment* (`experiments`, one a
file) plans *runs* (`runs`): one method, one seed, one problem. The `runner` computes each once and keeps its *result*
(`results`), and the `summary` is what the experiments find in those.

Every method learns and scores the same records under the same seeds. Nothing here needs TVM: what reads logs, and how
a scheduler's own cost model learns, is given by the caller.
"""
