// Graphs packed end to end, as Python takes them (StageGraphBatch, BuiltGraphs).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "graphs/computation.h"
#include "graphs/schema.h"

namespace tvm_gnn_cost {

inline constexpr std::size_t kNodeDim = kStaticNodeFeatures + node::kCount + kHardwareFeatures;
inline constexpr std::size_t kEdgeDim = kStaticEdgeFeatures + edge::kCount;

// An array of known size, not initialised.
template <typename T>
struct Buffer {
  explicit Buffer(std::size_t count) : data(new T[count]), size(count) {}
  std::unique_ptr<T[]> data;
  std::size_t size;
};

// What one thread made: a run of graphs.
struct GraphChunk {
  std::vector<const Computation*> graphs;
  std::vector<float> nodes, edges;
  std::vector<double> resources;
  std::vector<std::uint8_t> doubtful;
  std::size_t num_nodes = 0, num_edges = 0;
};

struct GraphBatch {
  GraphBatch(std::size_t graphs, std::size_t nodes, std::size_t edges);
  // The graphs of all chunks, in order.
  static GraphBatch of(const std::vector<const GraphChunk*>& chunks);

  std::size_t num_graphs() const { return doubtful.size; }
  std::size_t num_nodes() const { return scored_nodes.size; }
  std::size_t num_edges() const { return edge_index.size / 2; }

  Buffer<float> node_features;      // (nodes, kNodeDim)
  Buffer<std::int64_t> edge_index;  // (2, edges)
  Buffer<float> edge_features;      // (edges, kEdgeDim)
  Buffer<std::int64_t> node_ptr, edge_ptr;
  Buffer<bool> scored_nodes;  // stages that run
  Buffer<double> resources;   // (graphs, resource::kCount)
  Buffer<bool> doubtful;       // (graphs,): see BuiltGraphs.doubtful
};

}  // namespace tvm_gnn_cost
