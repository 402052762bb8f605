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

void register_stages(TirExtractor& self, std::uintptr_t function, const Computation& computation,
                     const Flat<std::int64_t>& blocks) {
  Stages stages(computation, span(blocks));
  const nb::gil_scoped_release release;  // another thread may be extracting
  self.register_stages(function, std::move(stages));
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
      .def("register_stages", &register_stages, nb::arg("function"), nb::arg("computation"), nb::arg("blocks"),
           R"(Tells what the blocks of a PrimFunc are, and of all programs whose blocks contain the same.

Args:
    function: its address; the caller keeps it alive.
    blocks: int64, flat: meta_schedule.native.encoding.encode_blocks.

Raises ValueError if the blocks do not fit to the computation, RuntimeError for a program that is not understood.)")
      .def("extract", &extract, nb::arg("functions"), nb::arg("n_threads") = 0,
           R"(The graphs of PrimFuncs.

Args:
    functions: uint64: their addresses; the caller keeps them alive.
    n_threads: at most so many threads; 0: one a core.

Returns ((node_features, edge_index, edge_features, node_ptr, edge_ptr, scored_nodes, resources, doubtful), status,
unregistered, first_error): the arrays of a StageGraphBatch and of BuiltGraphs, of the programs of status 0, in order;
the status of every program (int8): 0 done, 1 its blocks are not registered, 3 not understood; the first program of
every structure that is not registered; why the first was not understood.)")
      .def_prop_ro("num_structures", &TirExtractor::num_structures, "How many structures are registered.");
}

}  // namespace tvm_gnn_cost::tir
