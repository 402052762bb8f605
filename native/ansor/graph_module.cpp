// Python bindings of the graph extractor.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unordered_map.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ansor/bindings.h"
#include "ansor/graph_extractor.h"
#include "graphs/batch.h"
#include "graphs/numpy_arrays.h"
#include "graphs/schema.h"

namespace nb = nanobind;

namespace tvm_gnn_cost {
namespace {

void make_extractor(GraphExtractor* self, bool is_gpu, double cores, double simd_bytes, double cache_line_bytes,
                    double warp_size, const Flat<double>& cache_bytes, double register_bytes, double max_threads,
                    double max_blocks, double register_file_bytes, double shared_bytes, const Flat<float>& features,
                    const Offsets& moved) {
  Hardware hardware{is_gpu,      cores,      simd_bytes,          cache_line_bytes, warp_size, {}, register_bytes,
                    max_threads, max_blocks, register_file_bytes, shared_bytes};
  if (cache_bytes.size() != hardware.cache_bytes.size()) {
    throw std::invalid_argument(std::to_string(cache_bytes.size()) + " caches, not " + std::to_string(kNumCaches));
  }
  std::copy_n(cache_bytes.data(), cache_bytes.size(), hardware.cache_bytes.begin());
  new (self) GraphExtractor(hardware, {features.data(), features.data() + features.size()}, make_layout(moved));
}

void register_computation(GraphExtractor& self, const Flat<std::int64_t>& structure, const Flat<std::int64_t>& stages,
                          const Flat<std::int64_t>& output_bytes, const Flat<std::int64_t>& axis_extents,
                          const Flat<double>& flop, const Flat<std::int64_t>& edges,
                          const Flat<std::int64_t>& accesses, const Flat<double>& reads,
                          const Flat<double>& dimensions, const Flat<double>& coefficients,
                          const Flat<std::int64_t>& evaluations, const Flat<double>& evaluated,
                          const Flat<float>& static_nodes, const Flat<float>& static_edges) {
  Computation computation({span(stages), span(output_bytes), span(axis_extents), span(flop), span(edges),
                           span(accesses), span(reads), span(dimensions), span(coefficients), span(evaluations),
                           span(evaluated), span(static_nodes), span(static_edges)});
  StructureKey key(structure.data(), structure.data() + structure.size());
  const nb::gil_scoped_release release;  // another thread may be extracting
  self.register_computation(std::move(key), std::move(computation));
}

nb::tuple extract(const GraphExtractor& self, std::uintptr_t address, const TypeIndices& type_indices, int n_threads,
                  bool accept_undefined) {
  const TypeTable types = make_type_table(type_indices);
  Extraction extraction = [&] {
    const nb::gil_scoped_release release;
    return self.extract(address, types, n_threads, accept_undefined);
  }();
  GraphBatch& batch = extraction.graphs;
  const std::size_t num_graphs = batch.num_graphs(), num_nodes = batch.num_nodes(), num_edges = batch.num_edges();
  std::vector<std::int8_t> status;
  for (const StateStatus one : extraction.status) status.push_back(static_cast<std::int8_t>(one));
  return nb::make_tuple(to_array(std::move(batch.node_features), {num_nodes, kNodeDim}),
                        to_array(std::move(batch.edge_index), {2, num_edges}),
                        to_array(std::move(batch.edge_features), {num_edges, kEdgeDim}),
                        to_array(std::move(batch.node_ptr), {num_graphs + 1}),
                        to_array(std::move(batch.edge_ptr), {num_graphs + 1}),
                        to_array(std::move(batch.scored_nodes), {num_nodes}),
                        to_array(std::move(batch.resources), {num_graphs, std::size_t{resource::kCount}}),
                        to_array(std::move(batch.doubtful), {num_graphs}), to_array(std::move(status)),
                        to_array(std::move(extraction.unregistered)), extraction.first_error);
}

}  // namespace

void bind_graph_extractor(nb::module_& module) {
  nb::class_<GraphExtractor>(module, "GraphExtractor", "Makes stage graphs of one task's states.")
      .def("__init__", &make_extractor, nb::kw_only(), nb::arg("is_gpu"), nb::arg("cores"), nb::arg("simd_bytes"),
           nb::arg("cache_line_bytes"), nb::arg("warp_size"), nb::arg("cache_bytes"), nb::arg("register_bytes"),
           nb::arg("max_threads"), nb::arg("max_blocks"), nb::arg("register_file_bytes"), nb::arg("shared_bytes"),
           nb::arg("features"), nb::arg("moved_fields") = Offsets(),
           R"(The numbers are those of hardware.Hardware and, from register_bytes on, of its processor; `features` is
its feature vector, float32.)")
      .def("register_computation", &register_computation, nb::kw_only(), nb::arg("structure"), nb::arg("stages"),
           nb::arg("output_bytes"), nb::arg("axis_extents"), nb::arg("flop"), nb::arg("edges"), nb::arg("accesses"),
           nb::arg("reads"), nb::arg("dimensions"), nb::arg("coefficients"), nb::arg("evaluations"),
           nb::arg("evaluated"), nb::arg("static_nodes"), nb::arg("static_edges"),
           R"(Tells what the schedules of a structure compute. All arrays are flat.

Args:
    structure: int64: number of stages, number of inserts; per insert: number of values, stage, index, values ...;
        per stage: is inlined, number of rfactor factors, factors.
    stages: int64, per stage: is_placeholder, is_inlined, is_shared, number of outputs, of spatial and of reduction
        axes.
    output_bytes: int64, bytes of an element of every output of every stage.
    axis_extents: int64, of all axes of all stages.
    flop: float64, per stage: floating-point operations of one iteration, inlined stages included.
    edges: int64, per edge: producer, consumer.
    accesses: int64, per access (in the order of their hosts): host, producer, edge, affine, number of dimensions,
        number of the producer's output, whether it runs once an element, before its reduction.
    reads: float64, per access.
    dimensions: float64, per dimension of every access: spread, limit.
    coefficients: float64, per dimension of every access: one for each axis of the host.
    evaluations: int64, per evaluation: host, inlined stage.
    evaluated: float64, per evaluation: how often an iteration of the host evaluates it.
    static_nodes, static_edges: float32, the static features of every node and edge.

Raises ValueError if the arrays do not fit together.)")
      .def("extract", &extract, nb::arg("address"), nb::arg("type_indices"), nb::arg("n_threads") = 0,
           nb::arg("accept_undefined") = false,
           R"(The graphs of the states of the Array object at `address`; the caller keeps it alive.

Args:
    address, type_indices, n_threads: as for `read_schedules`.
    accept_undefined: take states that are not bound-inferred for what they are.

Returns (node_features, edge_index, edge_features, node_ptr, edge_ptr, scored_nodes, resources, doubtful, status,
unregistered, first_error): the arrays of a StageGraphBatch and of BuiltGraphs, of the states of status 0, in order; the
status of every state (int8): 0 done, 1 its structure is not registered, 2 not bound-inferred, 3 unreadable; the first
state of every structure that is not registered; what was wrong with the first unreadable state.

Raises LayoutError if there is no Array, UnknownTypeIndexError as `read_schedules`.)");
}

}  // namespace tvm_gnn_cost
