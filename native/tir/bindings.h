// The bindings of MetaSchedule's programs.
#pragma once

#include <nanobind/nanobind.h>

namespace tvm_gnn_cost::tir {

// Adds LoadedTvm and TirExtractor to the module.
void bind_tir(nanobind::module_& module);

}  // namespace tvm_gnn_cost::tir
