// The extension module tvm_gnn_cost._native.
#include <nanobind/nanobind.h>

#include "ansor/bindings.h"
#include "graphs/bindings.h"
#include "graphs/schema.h"
#include "tir/bindings.h"

namespace nb = nanobind;

NB_MODULE(_native, module) {
  using namespace tvm_gnn_cost;
  // TVM keeps cost models alive until the process ends (its callbacks refer to them), and their extractors with them.
  nb::set_leak_warnings(false);
  module.doc() =
      "Stage graphs, and readers of schedules that TVM holds in memory. Use these through the `native` folder of each "
      "scheduler's wing, which has them prove themselves first.";
  module.attr("SCHEMA_VERSION") = kSchemaVersion;
  bind_graphs(module);
  bind_reader(module);
  bind_graph_extractor(module);
  tir::bind_tir(module);
}
