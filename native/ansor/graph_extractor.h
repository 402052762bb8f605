// States to stage graphs: decodes every state of a batch and computes its features, on a few threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "ansor/stage_steps.h"
#include "ansor/tvm_layout.h"
#include "graphs/batch.h"
#include "graphs/computation.h"
#include "graphs/hardware.h"

namespace tvm_gnn_cost {

enum class StateStatus : std::int8_t {
  kDone = 0,
  kNotRegistered = 1,  // its structure has no computation yet
  kNotInferred = 2,    // some loop that runs has no range
  kUnreadable = 3,
};

// The graphs of the states that are done, and what became of every state.
struct Extraction {
  GraphBatch graphs;
  std::vector<StateStatus> status;
  std::vector<std::int64_t> unregistered;  // the first state of every structure that has no computation yet
  std::string first_error;                 // of the unreadable states
};

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
  struct Chunk;
  class Worker;

  Hardware hardware_;
  Layout layout_;
  mutable std::shared_mutex mutex_;  // of the computations: other Python threads may register while this one extracts
  std::unordered_map<StructureKey, Computation, StructureKeyHash> computations_;
};

}  // namespace tvm_gnn_cost
