// States to stage graphs: decodes every state of a batch and computes its features, on a few threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "computation.h"
#include "features.h"
#include "schedule.h"
#include "stage_steps.h"
#include "tvm_layout.h"

namespace tvm_gnn_cost {

enum class StateStatus : std::int8_t {
  kDone = 0,
  kNotRegistered = 1,  // its structure has no computation yet
  kNotInferred = 2,    // some loop that runs has no range
  kUnreadable = 3,
};

// An array of known size, not initialised.
template <typename T>
struct Buffer {
  explicit Buffer(std::size_t count) : data(new T[count]), size(count) {}
  std::unique_ptr<T[]> data;
  std::size_t size;
};

// The graphs of the states that are done, packed end to end (StageGraphBatch), and what became of every state.
struct GraphBatch {
  GraphBatch(std::size_t graphs, std::size_t nodes, std::size_t edges);

  Buffer<float> node_features;      // (nodes, features)
  Buffer<std::int64_t> edge_index;  // (2, edges)
  Buffer<float> edge_features;      // (edges, features)
  Buffer<std::int64_t> node_ptr, edge_ptr;
  Buffer<bool> scored_nodes;  // stages that run
  Buffer<double> resources;   // (graphs, resource::kCount)
  std::vector<StateStatus> status;
  std::vector<std::int64_t> unregistered;  // the first state of every structure that has no computation yet
  std::string first_error;                 // of the unreadable states
};

class GraphExtractor {
 public:
  // `hardware_features`: kHardwareFeatures columns.
  GraphExtractor(const Hardware& hardware, std::vector<float> hardware_features, const Layout& layout);

  static std::size_t node_dim();
  static std::size_t edge_dim();

  // A structure that is known already keeps its computation.
  void register_computation(StructureKey structure, Computation computation);

  // The graphs of the states of an Array<State>; the result does not depend on the number of threads. With
  // `accept_undefined` no state counts as not inferred: extents without range are estimated. Raises LayoutError if the
  // array is none, UnknownTypeIndex.
  GraphBatch extract(std::uintptr_t array, const TypeTable& types, int n_threads, bool accept_undefined) const;

 private:
  struct Chunk;
  class Worker;

  Hardware hardware_;
  std::vector<float> hardware_features_;
  Layout layout_;
  mutable std::shared_mutex mutex_;  // of the computations: other Python threads may register while this one extracts
  std::unordered_map<StructureKey, Computation, StructureKeyHash> computations_;
};

}  // namespace tvm_gnn_cost
