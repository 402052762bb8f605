#include "graph_extractor.h"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <unordered_set>
#include <utility>

#include "arithmetic.h"
#include "loop_nest.h"
#include "parallel.h"
#include "resources.h"
#include "schema.h"

namespace tvm_gnn_cost {

namespace {

constexpr std::size_t kLeastStatesPerThread = 16;

bool is_bound_inferred(const Schedule& schedule) {
  for (const StageSchedule& stage : schedule.stages) {
    if (stage.compute_at == ComputeAt::kInlined) continue;
    for (const Loop& loop : schedule.loops(stage)) {
      if (loop.extent == kUndefinedExtent) return false;
    }
  }
  return true;
}

}  // namespace

GraphBatch::GraphBatch(std::size_t graphs, std::size_t nodes, std::size_t edges)
    : node_features(nodes * GraphExtractor::node_dim()),
      edge_index(2 * edges),
      edge_features(edges * GraphExtractor::edge_dim()),
      node_ptr(graphs + 1),
      edge_ptr(graphs + 1),
      scored_nodes(nodes),
      resources(graphs * resource::kCount) {}

// What one thread made: the graphs of a run of states.
struct GraphExtractor::Chunk {
  std::vector<const Computation*> graphs;
  std::vector<float> nodes, edges;
  std::vector<double> resources;
  std::size_t num_nodes = 0, num_edges = 0;
  std::vector<std::pair<std::int64_t, StructureKey>> unregistered;
  std::string first_error;
};

// One thread's scratch.
class GraphExtractor::Worker {
 public:
  Worker(const GraphExtractor& extractor, const TypeTable& types, bool accept_undefined, std::size_t num_states,
         Chunk& out)
      : extractor_(extractor),
        accept_undefined_(accept_undefined),
        num_states_(num_states),
        out_(out),
        reader_(types, extractor.layout_),
        features_(extractor.hardware_) {}

  StateStatus extract(Address state, std::int64_t position) {
    const std::size_t nodes = out_.nodes.size(), edges = out_.edges.size(), resources = out_.resources.size();
    try {
      if (state == nullptr) throw ScheduleError("not a state");
      return try_extract(state, position);
    } catch (const UnknownTypeIndex&) {
      throw;  // the caller may learn the type
    } catch (const std::runtime_error& error) {
      if (out_.first_error.empty()) out_.first_error = error.what();
      out_.nodes.resize(nodes);
      out_.edges.resize(edges);
      out_.resources.resize(resources);
      return StateStatus::kUnreadable;
    }
  }

 private:
  StateStatus try_extract(Address state, std::int64_t position) {
    reader_.read(state, schedule_);
    if (!accept_undefined_ && !is_bound_inferred(schedule_)) return StateStatus::kNotInferred;
    steps_.sort(schedule_);
    steps_.structure(schedule_, key_);
    const auto known = extractor_.computations_.find(key_);
    if (known == extractor_.computations_.end()) {
      if (unregistered_.insert(key_).second) out_.unregistered.emplace_back(position, key_);
      return StateStatus::kNotRegistered;
    }
    nest_.build(known->second, schedule_, steps_);
    kernels_.start(nest_);
    append(known->second);
    return StateStatus::kDone;
  }

  void append(const Computation& computation) {
    const std::size_t num_nodes = computation.num_stages(), num_edges = computation.edges().size();
    const std::size_t first_node = out_.nodes.size(), first_edge = out_.edges.size();
    const std::size_t first_resource = out_.resources.size();
    if (out_.graphs.empty()) {  // most states have the size of the first
      out_.nodes.reserve(num_states_ * num_nodes * node_dim());
      out_.edges.reserve(num_states_ * num_edges * edge_dim());
      out_.resources.reserve(num_states_ * resource::kCount);
    }
    out_.nodes.resize(first_node + num_nodes * node_dim());
    out_.edges.resize(first_edge + num_edges * edge_dim());
    out_.resources.resize(first_resource + resource::kCount);
    float* const nodes = out_.nodes.data() + first_node;
    float* const edges = out_.edges.data() + first_edge;
    features_.write(nest_, kernels_, nodes + kStaticNodeFeatures, node_dim(), edges + kStaticEdgeFeatures, edge_dim());
    resources_.write(nest_, kernels_, out_.resources.data() + first_resource);
    const std::vector<float>& hardware = extractor_.hardware_features_;
    for (std::size_t i = 0; i < num_nodes; ++i) {
      float* const row = nodes + i * node_dim();
      std::copy_n(computation.static_node(i), kStaticNodeFeatures, row);
      std::copy(hardware.begin(), hardware.end(), row + kStaticNodeFeatures + node::kCount);
    }
    for (std::size_t e = 0; e < num_edges; ++e) {
      std::copy_n(computation.static_edge(e), kStaticEdgeFeatures, edges + e * edge_dim());
    }
    out_.graphs.push_back(&computation);
    out_.num_nodes += num_nodes;
    out_.num_edges += num_edges;
  }

  const GraphExtractor& extractor_;
  const bool accept_undefined_;
  const std::size_t num_states_;
  Chunk& out_;
  ScheduleReader reader_;
  Schedule schedule_;
  StageSteps steps_;
  StructureKey key_;
  std::unordered_set<StructureKey, StructureKeyHash> unregistered_;
  LoopNest nest_;
  KernelMemory kernels_;
  DynamicFeatures features_;
  Resources resources_;
};

GraphExtractor::GraphExtractor(const Hardware& hardware, std::vector<float> hardware_features, const Layout& layout)
    : hardware_(hardware), hardware_features_(std::move(hardware_features)), layout_(layout) {
  if (hardware_features_.size() != kHardwareFeatures) {
    throw std::invalid_argument(std::to_string(hardware_features_.size()) + " hardware features, not " +
                                std::to_string(kHardwareFeatures));
  }
  if (hardware_.cores <= 0.0 || hardware_.simd_bytes <= 0.0 || hardware_.cache_line_bytes <= 0.0) {
    throw std::invalid_argument("cores, simd_bytes and cache_line_bytes must be positive");
  }
}

std::size_t GraphExtractor::node_dim() { return kStaticNodeFeatures + node::kCount + kHardwareFeatures; }

std::size_t GraphExtractor::edge_dim() { return kStaticEdgeFeatures + edge::kCount; }

void GraphExtractor::register_computation(StructureKey structure, Computation computation) {
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  computations_.try_emplace(std::move(structure), std::move(computation));
}

GraphBatch GraphExtractor::extract(std::uintptr_t array, const TypeTable& types, int n_threads,
                                   bool accept_undefined) const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  const std::vector<Address> states = state_addresses(array, types, layout_, NoState::kMakeNull);
  std::vector<StateStatus> status(states.size());
  std::vector<Chunk> chunks(thread_count(states.size(), n_threads, kLeastStatesPerThread));
  for_each_chunk(states.size(), chunks.size(), [&](std::size_t chunk, std::size_t begin, std::size_t end) {
    Worker worker(*this, types, accept_undefined, end - begin, chunks[chunk]);
    for (std::size_t i = begin; i < end; ++i) status[i] = worker.extract(states[i], static_cast<std::int64_t>(i));
  });

  // Where each chunk's part of the batch begins.
  struct Start {
    std::size_t graph = 0, node = 0, edge = 0;
  };
  std::vector<Start> starts(1);
  for (const Chunk& chunk : chunks) {
    const Start& last = starts.back();
    starts.push_back({last.graph + chunk.graphs.size(), last.node + chunk.num_nodes, last.edge + chunk.num_edges});
  }
  const auto [num_graphs, num_nodes, num_edges] = starts.back();
  GraphBatch batch(num_graphs, num_nodes, num_edges);
  batch.status = std::move(status);
  batch.node_ptr.data[num_graphs] = static_cast<std::int64_t>(num_nodes);
  batch.edge_ptr.data[num_graphs] = static_cast<std::int64_t>(num_edges);
  for_each_chunk(chunks.size(), chunks.size(), [&, num_edges = num_edges](std::size_t c, std::size_t, std::size_t) {
    const Chunk& chunk = chunks[c];
    auto [graph, node, edge] = starts[c];
    std::copy(chunk.nodes.begin(), chunk.nodes.end(), batch.node_features.data.get() + node * node_dim());
    std::copy(chunk.edges.begin(), chunk.edges.end(), batch.edge_features.data.get() + edge * edge_dim());
    std::copy(chunk.resources.begin(), chunk.resources.end(), batch.resources.data.get() + graph * resource::kCount);
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

  std::unordered_set<StructureKey, StructureKeyHash> seen;
  for (Chunk& chunk : chunks) {
    if (batch.first_error.empty()) batch.first_error = chunk.first_error;
    for (auto& [position, key] : chunk.unregistered) {
      if (seen.insert(std::move(key)).second) batch.unregistered.push_back(position);
    }
  }
  return batch;
}

}  // namespace tvm_gnn_cost
