#include "graphs/batch.h"

#include <algorithm>

#include "graphs/parallel.h"

namespace tvm_gnn_cost {

GraphBatch::GraphBatch(std::size_t graphs, std::size_t nodes, std::size_t edges)
    : node_features(nodes * kNodeDim),
      edge_index(2 * edges),
      edge_features(edges * kEdgeDim),
      node_ptr(graphs + 1),
      edge_ptr(graphs + 1),
      scored_nodes(nodes),
      resources(graphs * resource::kCount),
      doubtful(graphs) {}

GraphBatch GraphBatch::of(const std::vector<const GraphChunk*>& chunks) {
  // Where each chunk's part of the batch begins.
  struct Start {
    std::size_t graph = 0, node = 0, edge = 0;
  };
  std::vector<Start> starts(1);
  for (const GraphChunk* const chunk : chunks) {
    const Start& last = starts.back();
    starts.push_back({last.graph + chunk->graphs.size(), last.node + chunk->num_nodes, last.edge + chunk->num_edges});
  }
  const auto [num_graphs, num_nodes, num_edges] = starts.back();
  GraphBatch batch(num_graphs, num_nodes, num_edges);
  batch.node_ptr.data[num_graphs] = static_cast<std::int64_t>(num_nodes);
  batch.edge_ptr.data[num_graphs] = static_cast<std::int64_t>(num_edges);
  for_each_chunk(chunks.size(), chunks.size(), [&, num_edges = num_edges](std::size_t c, std::size_t, std::size_t) {
    const GraphChunk& chunk = *chunks[c];
    auto [graph, node, edge] = starts[c];
    std::copy(chunk.nodes.begin(), chunk.nodes.end(), batch.node_features.data.get() + node * kNodeDim);
    std::copy(chunk.edges.begin(), chunk.edges.end(), batch.edge_features.data.get() + edge * kEdgeDim);
    std::copy(chunk.resources.begin(), chunk.resources.end(), batch.resources.data.get() + graph * resource::kCount);
    std::copy(chunk.doubtful.begin(), chunk.doubtful.end(), batch.doubtful.data.get() + graph);
    for (const Computation* computation : chunk.graphs) {
      batch.node_ptr.data[graph] = static_cast<std::int64_t>(node);
      batch.edge_ptr.data[graph] = static_cast<std::int64_t>(edge);
      for (const Edge& e : computation->edges()) {
        batch.edge_index.data[edge] = static_cast<std::int64_t>(node) + e.producer;
        batch.edge_index.data[num_edges + edge] = static_cast<std::int64_t>(node) + e.consumer;
        ++edge;
      }
      for (std::size_t i = 0; i < computation->num_stages(); ++i) {
        batch.scored_nodes.data[node++] = computation->stage(i).runs();
      }
      ++graph;
    }
  });
  return batch;
}

}  // namespace tvm_gnn_cost
