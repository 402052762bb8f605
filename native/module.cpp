// The extension module tvm_gnn_cost._native.
#include <nanobind/nanobind.h>

#include "ansor/bindings.h"
#include "graphs/schema.h"

namespace nb = nanobind;

NB_MODULE(_native, module) {
  using namespace tvm_gnn_cost;
  // TVM keeps cost models alive until the process ends (its callbacks refer to them), and their extractors with them.
  nb::set_leak_warnings(false);
  module.doc() =
      "Reads TVM 0.19's auto_scheduler states from memory. Use it through tvm_gnn_cost.ansor.native.reader, which has "
      "it prove itself first.";
  module.attr("SCHEMA_VERSION") = kSchemaVersion;
  bind_reader(module);
  bind_graph_extractor(module);
}
