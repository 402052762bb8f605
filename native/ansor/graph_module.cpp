// Python bindings of the graph extractor.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unordered_map.h>

#include <utility>
#include <vector>

#include "ansor/bindings.h"
#include "ansor/graph_extractor.h"
#include "graphs/bindings.h"
#include "graphs/numpy_arrays.h"

namespace nb = nanobind;

namespace tvm_gnn_cost {
namespace {

void make_extractor(GraphExtractor* self, const Hardware& hardware, const Offsets& moved) {
  new (self) GraphExtractor(hardware, make_layout(moved));
}

void register_computation(GraphExtractor& self, const Flat<std::int64_t>& structure, const Computation& computation) {
  StructureKey key(structure.data(), structure.data() + structure.size());
  const nb::gil_scoped_release release;  // another thread may be extracting
  self.register_computation(std::move(key), computation);
}

nb::tuple extract(const GraphExtractor& self, std::uintptr_t address, const TypeIndices& type_indices, int n_threads,
                  bool accept_undefined) {
  const TypeTable types = make_type_table(type_indices);
  Extraction extraction = [&] {
    const nb::gil_scoped_release release;
    return self.extract(address, types, n_threads, accept_undefined);
  }();
  return to_arrays(std::move(extraction));
}

}  // namespace

void bind_graph_extractor(nb::module_& module) {
  nb::class_<GraphExtractor>(module, "GraphExtractor", "Makes stage graphs of one task's states.")
      .def("__init__", &make_extractor, nb::kw_only(), nb::arg("hardware"), nb::arg("moved_fields") = Offsets())
      .def("register_computation", &register_computation, nb::arg("structure"), nb::arg("computation"),
           R"(Tells what the schedules of a structure compute.

Args:
    structure: int64, flat: number of stages, number of inserts; per insert: number of values, stage, index, values ...;
        per stage: is inlined, number of rfactor factors, factors.)")
      .def("extract", &extract, nb::arg("address"), nb::arg("type_indices"), nb::arg("n_threads") = 0,
           nb::arg("accept_undefined") = false,
           R"(The graphs of the states of the Array object at `address`; the caller keeps it alive.

Args:
    address, type_indices, n_threads: as for `read_schedules`.
    accept_undefined: take states that are not bound-inferred for what they are.

Returns ((node_features, edge_index, edge_features, node_ptr, edge_ptr, scored_nodes, resources, doubtful), status,
unregistered, first_error): the arrays of a StageGraphBatch and of BuiltGraphs, of the states of status 0, in order; the
status of every state (int8): 0 done, 1 its structure is not registered, 2 not bound-inferred, 3 unreadable; the first
state of every structure that is not registered; what was wrong with the first unreadable state.

Raises LayoutError if there is no Array, UnknownTypeIndexError as `read_schedules`.)");
}

}  // namespace tvm_gnn_cost
