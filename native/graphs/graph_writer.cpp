#include "graphs/graph_writer.h"

#include <algorithm>

namespace tvm_gnn_cost {

void GraphWriter::append(LoopNest& nest) {
  const Computation& computation = nest.computation();
  const std::size_t num_nodes = computation.num_stages(), num_edges = computation.edges().size();
  const std::size_t first_node = out_.nodes.size(), first_edge = out_.edges.size();
  const std::size_t first_resource = out_.resources.size();
  if (out_.graphs.empty()) {  // most graphs have the size of the first
    out_.nodes.reserve(num_graphs_ * num_nodes * kNodeDim);
    out_.edges.reserve(num_graphs_ * num_edges * kEdgeDim);
    out_.resources.reserve(num_graphs_ * resource::kCount);
  }
  out_.nodes.resize(first_node + num_nodes * kNodeDim);
  out_.edges.resize(first_edge + num_edges * kEdgeDim);
  out_.resources.resize(first_resource + resource::kCount);
  try {
    write(nest, out_.nodes.data() + first_node, out_.edges.data() + first_edge,
          out_.resources.data() + first_resource);
  } catch (...) {
    out_.nodes.resize(first_node);
    out_.edges.resize(first_edge);
    out_.resources.resize(first_resource);
    throw;
  }
  out_.doubtful.push_back(nest.is_doubtful());
  out_.graphs.push_back(&computation);
  out_.num_nodes += num_nodes;
  out_.num_edges += num_edges;
}

void GraphWriter::write(LoopNest& nest, float* nodes, float* edges, double* demand) {
  const Computation& computation = nest.computation();
  kernels_.start(nest);
  features_.write(nest, kernels_, nodes + kStaticNodeFeatures, kNodeDim, edges + kStaticEdgeFeatures, kEdgeDim);
  gpu_demand_.write(nest, kernels_, demand);
  for (std::size_t i = 0; i < computation.num_stages(); ++i) {
    float* const row = nodes + i * kNodeDim;
    std::copy_n(computation.static_node(i), kStaticNodeFeatures, row);
    std::copy(hardware_features_.begin(), hardware_features_.end(), row + kStaticNodeFeatures + node::kCount);
  }
  for (std::size_t e = 0; e < computation.edges().size(); ++e) {
    std::copy_n(computation.static_edge(e), kStaticEdgeFeatures, edges + e * kEdgeDim);
  }
}

}  // namespace tvm_gnn_cost
