// Python bindings of the reader of TIR programs.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstdint>
#include <string>
#include <utility>

#include "graphs/bindings.h"
#include "graphs/numpy_arrays.h"
#include "tir/bindings.h"
#include "tir/tir_extractor.h"

namespace nb = nanobind;

namespace tvm_gnn_cost::tir {
namespace {

void register_program(TirExtractor& self, std::uintptr_t function, const Flat<std::int64_t>& blocks,
                      const Flat<std::uint64_t>& inputs, const Flat<std::int64_t>& lookup_counts,
                      const Flat<std::uint64_t>& looked_up, const Flat<std::int64_t>& found,
                      const Flat<std::int64_t>& stages, const Flat<std::int64_t>& output_bytes,
                      const Flat<std::int64_t>& axis_extents, const Flat<double>& flop,
                      const Flat<std::int64_t>& edges, const Flat<std::int64_t>& accesses, const Flat<double>& reads,
                      const Flat<double>& dimensions, const Flat<double>& coefficients,
                      const Flat<float>& static_nodes, const Flat<float>& static_edges) {
  const nb::gil_scoped_release release;  // another thread may be extracting
  self.register_program(function, {{span(stages), span(output_bytes), span(axis_extents), span(flop), span(edges),
                                    span(accesses), span(reads), span(dimensions), span(coefficients), {}, {},
                                    span(static_nodes), span(static_edges)},
                                   span(blocks), span(inputs), span(lookup_counts), span(looked_up), span(found)});
}

nb::tuple extract(const TirExtractor& self, const Flat<std::uint64_t>& functions, int n_threads) {
  Extraction extraction = [&] {
    const nb::gil_scoped_release release;
    return self.extract(span(functions), n_threads);
  }();
  return to_arrays(std::move(extraction));
}

}  // namespace

void bind_tir(nb::module_& module) {
  nb::class_<LoadedTvm>(module, "LoadedTvm", "A TVM with tvm-ffi, as Python loaded it.")
      .def(nb::init<const std::string&>(), nb::arg("ffi_path"),
           R"(Asks the tvm-ffi that is loaded from `ffi_path` where the fields of TIR's classes lie.

Raises RuntimeError, with the name, for what TVM has not.)");
  nb::class_<TirExtractor>(module, "TirExtractor", "Makes stage graphs of one task's TIR programs.")
      .def(nb::init<const LoadedTvm&, const Hardware&>(), nb::arg("tvm"), nb::arg("hardware"), nb::keep_alive<1, 2>())
      .def("register_program", &register_program, nb::arg("function"), nb::kw_only(), nb::arg("blocks"),
           nb::arg("inputs"), nb::arg("lookup_counts"), nb::arg("looked_up"), nb::arg("found"), nb::arg("stages"),
           nb::arg("output_bytes"), nb::arg("axis_extents"), nb::arg("flop"), nb::arg("edges"), nb::arg("accesses"),
           nb::arg("reads"), nb::arg("dimensions"), nb::arg("coefficients"), nb::arg("static_nodes"),
           nb::arg("static_edges"),
           R"(Tells what the blocks of a PrimFunc are, and all blocks that contain the same.

Args:
    function: its address; the caller keeps it alive.
    The others are flat: those of meta_schedule.native.encoding.encode_program, of graphs.encoding.encode_computation,
    and the static features of every node and edge, float32.

Raises ValueError if they do not fit together, RuntimeError for a program that is not understood.)")
      .def("extract", &extract, nb::arg("functions"), nb::arg("n_threads") = 0,
           R"(The graphs of PrimFuncs.

Args:
    functions: uint64: their addresses; the caller keeps them alive.
    n_threads: at most so many threads; 0: one a core.

Returns ((node_features, edge_index, edge_features, node_ptr, edge_ptr, scored_nodes, resources, doubtful), status,
unregistered, first_error): the arrays of a StageGraphBatch and of BuiltGraphs, of the programs of status 0, in order;
the status of every program (int8): 0 done, 1 some block is not registered, 3 not understood; the first program of every
block that is not registered; why the first was not understood.)")
      .def_prop_ro("num_units", &TirExtractor::num_units, "How many blocks and inputs are known.");
}

}  // namespace tvm_gnn_cost::tir
