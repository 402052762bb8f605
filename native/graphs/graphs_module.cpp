// Python bindings of what a stage graph is made of.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "graphs/bindings.h"
#include "graphs/computation.h"
#include "graphs/given_nests.h"
#include "graphs/hardware.h"
#include "graphs/numpy_arrays.h"
#include "graphs/schema.h"

namespace nb = nanobind;

namespace tvm_gnn_cost {
namespace {

template <typename T, std::size_t N>
void copy_into(const Flat<T>& array, std::array<T, N>& out, const char* what) {
  if (array.size() != N) {
    throw std::invalid_argument(std::to_string(array.size()) + " " + what + ", not " + std::to_string(N));
  }
  std::copy_n(array.data(), N, out.begin());
}

void make_hardware(Hardware* self, bool is_gpu, double cores, double simd_bytes, double cache_line_bytes,
                   double warp_size, const Flat<double>& cache_bytes, double register_bytes, double max_threads,
                   double max_blocks, double register_file_bytes, double shared_bytes, const Flat<float>& features) {
  Hardware hardware{is_gpu,      cores,      simd_bytes,          cache_line_bytes, warp_size, {}, register_bytes,
                    max_threads, max_blocks, register_file_bytes, shared_bytes,     {}};
  copy_into(cache_bytes, hardware.cache_bytes, "caches");
  copy_into(features, hardware.features, "hardware features");
  if (cores <= 0.0 || simd_bytes <= 0.0 || cache_line_bytes <= 0.0) {
    throw std::invalid_argument("cores, simd_bytes and cache_line_bytes must be positive");
  }
  new (self) Hardware(hardware);
}

void make_computation(Computation* self, const Flat<std::int64_t>& stages, const Flat<std::int64_t>& output_bytes,
                      const Flat<std::int64_t>& axis_extents, const Flat<double>& flop,
                      const Flat<std::int64_t>& edges, const Flat<std::int64_t>& accesses, const Flat<double>& reads,
                      const Flat<double>& dimensions, const Flat<double>& coefficients,
                      const Flat<std::int64_t>& evaluations, const Flat<double>& evaluated,
                      const Flat<float>& static_nodes, const Flat<float>& static_edges) {
  new (self) Computation({span(stages), span(output_bytes), span(axis_extents), span(flop), span(edges),
                          span(accesses), span(reads), span(dimensions), span(coefficients), span(evaluations),
                          span(evaluated), span(static_nodes), span(static_edges)});
}

nb::tuple write_given(const Hardware& hardware, const nb::typed<nb::tuple, Computation>& computations,
                      const Flat<std::int64_t>& stages, const Flat<std::int64_t>& loops,
                      const Flat<std::int64_t>& parts, int n_threads) {
  std::vector<const Computation*> read;  // the tuple keeps them alive
  for (const nb::handle one : computations) read.push_back(nb::cast<const Computation*>(one, false));
  WrittenNests written = [&] {
    const nb::gil_scoped_release release;
    return write_nests(hardware, read, {span(stages), span(loops), span(parts)}, n_threads);
  }();
  return nb::make_tuple(to_arrays(std::move(written.graphs)), to_array(std::move(written.done)), written.first_error);
}

}  // namespace

nb::tuple to_arrays(GraphBatch batch) {
  const std::size_t num_graphs = batch.num_graphs(), num_nodes = batch.num_nodes(), num_edges = batch.num_edges();
  return nb::make_tuple(to_array(std::move(batch.node_features), {num_nodes, kNodeDim}),
                        to_array(std::move(batch.edge_index), {2, num_edges}),
                        to_array(std::move(batch.edge_features), {num_edges, kEdgeDim}),
                        to_array(std::move(batch.node_ptr), {num_graphs + 1}),
                        to_array(std::move(batch.edge_ptr), {num_graphs + 1}),
                        to_array(std::move(batch.scored_nodes), {num_nodes}),
                        to_array(std::move(batch.resources), {num_graphs, std::size_t{resource::kCount}}),
                        to_array(std::move(batch.doubtful), {num_graphs}));
}

nb::tuple to_arrays(Extraction extraction) {
  std::vector<std::int8_t> status;
  for (const Status one : extraction.status) status.push_back(static_cast<std::int8_t>(one));
  return nb::make_tuple(to_arrays(std::move(extraction.graphs)), to_array(std::move(status)),
                        to_array(std::move(extraction.unregistered)), extraction.first_error);
}

void bind_graphs(nb::module_& module) {
  nb::class_<Hardware>(module, "Hardware", "What a schedule runs on, as far as features depend on it.")
      .def("__init__", &make_hardware, nb::kw_only(), nb::arg("is_gpu"), nb::arg("cores"), nb::arg("simd_bytes"),
           nb::arg("cache_line_bytes"), nb::arg("warp_size"), nb::arg("cache_bytes"), nb::arg("register_bytes"),
           nb::arg("max_threads"), nb::arg("max_blocks"), nb::arg("register_file_bytes"), nb::arg("shared_bytes"),
           nb::arg("features"),
           R"(The numbers are those of hardware.Hardware and, from register_bytes on, of its processor; `features` is
its feature vector, float32.)");

  nb::class_<Computation>(module, "Computation", "What a set of stages computes.")
      .def("__init__", &make_computation, nb::kw_only(), nb::arg("stages"), nb::arg("output_bytes"),
           nb::arg("axis_extents"), nb::arg("flop"), nb::arg("edges"), nb::arg("accesses"), nb::arg("reads"),
           nb::arg("dimensions"), nb::arg("coefficients"), nb::arg("evaluations"), nb::arg("evaluated"),
           nb::arg("static_nodes"), nb::arg("static_edges"),
           R"(All arrays are flat: those of graphs.encoding.encode_computation, and the static features of every node
and edge, float32. Raises ValueError if they do not fit together.)");

  module.def("write_nests", &write_given, nb::arg("hardware"), nb::arg("computations"), nb::arg("stages"),
             nb::arg("loops"), nb::arg("parts"), nb::arg("n_threads") = 0,
             R"(The graphs of loop nests, one of each of the computations.

Args:
    stages, loops, parts: int64, flat: those of graphs.encoding.encode_nests.
    n_threads: at most so many threads; 0: one a core.

Returns ((node_features, edge_index, edge_features, node_ptr, edge_ptr, scored_nodes, resources, doubtful), done,
first_error): the arrays of a StageGraphBatch and of BuiltGraphs, of the nests that are done, in order; whether each nest
is (uint8); what was wrong with the first that makes no sense.

Raises ValueError for tables that do not fit together.)");
}

}  // namespace tvm_gnn_cost
