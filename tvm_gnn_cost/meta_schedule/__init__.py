"""MetaSchedule's wing: `GNNCostModel` for `ms.tune_tir`, `ms.relax_integration` and `ms.relay_integration`.

Importing it loads neither TVM nor torch.
"""
