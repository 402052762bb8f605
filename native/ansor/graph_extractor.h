// States to stage graphs: decodes every state of a batch and computes its features, on a few threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "ansor/tvm_layout.h"
#include "graphs/computation.h"
#include "graphs/extraction.h"
#include "graphs/hardware.h"
#include "graphs/structure_key.h"

namespace tvm_gnn_cost {

class GraphExtractor {
 public:
  GraphExtractor(const Hardware& hardware, const Layout& layout) : hardware_(hardware), layout_(layout) {}

  // A structure that is known already keeps its computation.
  void register_computation(StructureKey structure, Computation computation);

  // The graphs of the states of an Array<State>; the result does not depend on the number of threads. With
  // `accept_undefined` no state counts as not inferred: extents without range are estimated. Raises LayoutError if the
  // array is none, UnknownTypeIndex.
  Extraction extract(std::uintptr_t array, const TypeTable& types, int n_threads, bool accept_undefined) const;

 private:
  class Worker;

  Hardware hardware_;
  Layout layout_;
  mutable std::shared_mutex mutex_;  // of the computations: other Python threads may register while this one extracts
  std::unordered_map<StructureKey, Computation, StructureKeyHash> computations_;
};

}  // namespace tvm_gnn_cost
