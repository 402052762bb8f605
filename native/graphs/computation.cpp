#include "graphs/computation.h"

#include <stdexcept>
#include <string>

#include "graphs/schema.h"

namespace tvm_gnn_cost {

namespace {

// More than any computation has.
constexpr std::size_t kMostStages = 1 << 12;
constexpr std::size_t kMostAxes = 1 << 10;
constexpr std::size_t kMostOutputs = 1 << 10;
constexpr std::int64_t kLargestElement = 1 << 16;
// Larger than any tensor, and small enough that sums over axes stay exact.
constexpr std::int64_t kLargestExtent = std::int64_t{1} << 48;

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("computation tables do not fit together: ") + what);
}

bool in_range(std::int64_t value, std::size_t end) { return value >= 0 && value < static_cast<std::int64_t>(end); }

}  // namespace

Computation::Computation(const ComputationTables& tables)
    : static_nodes_(tables.static_nodes.begin(), tables.static_nodes.end()),
      static_edges_(tables.static_edges.begin(), tables.static_edges.end()) {
  add_stages(tables);
  add_edges(tables);
  add_accesses(tables);
  add_evaluations(tables);
  index_accesses();
}

const float* Computation::static_node(std::size_t i) const { return static_nodes_.data() + i * kStaticNodeFeatures; }

const float* Computation::static_edge(std::size_t e) const { return static_edges_.data() + e * kStaticEdgeFeatures; }

void Computation::add_stages(const ComputationTables& tables) {
  constexpr std::size_t kColumns = 6;
  const std::size_t count = tables.flop.size();
  require(tables.stages.size() == count * kColumns && count <= kMostStages, "stages");
  require(tables.static_nodes.size() == count * kStaticNodeFeatures, "static node features");
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t* const row = tables.stages.begin() + i * kColumns;
    require(row[3] > 0 && in_range(row[3], kMostOutputs), "number of outputs");
    require(in_range(row[4], kMostAxes) && in_range(row[5], kMostAxes), "number of axes");
    const std::size_t first_output = output_bytes_.size();
    std::int64_t element_bytes = 0;
    for (std::int64_t output = 0; output < row[3]; ++output) {
      require(output_bytes_.size() < tables.output_bytes.size(), "outputs");
      const std::int64_t bytes = tables.output_bytes[output_bytes_.size()];
      require(bytes > 0 && bytes <= kLargestElement, "element size");
      output_bytes_.push_back(bytes);
      element_bytes += bytes;
    }
    stages_.push_back({row[0] != 0, row[1] != 0, row[2] != 0, element_bytes, tables.flop[i],
                       static_cast<std::uint32_t>(axis_extents_.size()), static_cast<std::uint32_t>(row[4]),
                       static_cast<std::uint32_t>(row[4] + row[5]), static_cast<std::uint32_t>(first_output),
                       static_cast<std::uint32_t>(row[3])});
    for (std::int64_t axis = 0; axis < row[4] + row[5]; ++axis) {
      require(axis_extents_.size() < tables.axis_extents.size(), "axis extents");
      const std::int64_t extent = tables.axis_extents[axis_extents_.size()];
      require(in_range(extent, kLargestExtent), "axis extent");
      axis_extents_.push_back(extent);
    }
  }
  require(axis_extents_.size() == tables.axis_extents.size(), "axis extents");
  require(output_bytes_.size() == tables.output_bytes.size(), "outputs");
}

void Computation::add_edges(const ComputationTables& tables) {
  require(tables.edges.size() % 2 == 0, "edges");
  const std::size_t count = tables.edges.size() / 2;
  require(tables.static_edges.size() == count * kStaticEdgeFeatures, "static edge features");
  for (std::size_t e = 0; e < count; ++e) {
    const std::int64_t producer = tables.edges[2 * e], consumer = tables.edges[2 * e + 1];
    require(in_range(producer, stages_.size()) && in_range(consumer, stages_.size()), "edge");
    edges_.push_back({static_cast<std::int32_t>(producer), static_cast<std::int32_t>(consumer)});
  }
}

void Computation::add_accesses(const ComputationTables& tables) {
  constexpr std::size_t kColumns = 7;
  const std::size_t count = tables.reads.size();
  require(tables.accesses.size() == count * kColumns, "accesses");
  std::size_t dimension = 0, coefficient = 0;
  for (std::size_t a = 0; a < count; ++a) {
    const std::int64_t* const row = tables.accesses.begin() + a * kColumns;
    // Producers come first in TVM's order; that they do keeps every walk along accesses finite.
    require(in_range(row[0], stages_.size()) && in_range(row[1], row[0]), "access");
    require(accesses_.empty() || accesses_.back().host <= row[0], "order of accesses");
    require(in_range(row[2], edges_.size()), "edge of an access");
    const StageComputation& producer = stages_[row[1]];
    require(row[4] == producer.num_spatial, "dimensions of an access");
    require(in_range(row[5], producer.num_outputs), "output of an access");
    accesses_.push_back({static_cast<std::int32_t>(row[0]), static_cast<std::int32_t>(row[1]),
                         static_cast<std::int32_t>(row[2]), row[3] != 0, row[6] != 0, outputs(producer)[row[5]],
                         tables.reads[a], static_cast<std::uint32_t>(dimensions_.size()), static_cast<std::uint32_t>(row[4])});
    const std::size_t num_axes = stages_[row[0]].num_axes;
    for (std::int64_t d = 0; d < row[4]; ++d, ++dimension) {
      require(2 * dimension + 1 < tables.dimensions.size(), "dimensions");
      require(coefficient + num_axes <= tables.coefficients.size(), "coefficients");
      const std::size_t first_term = terms_.size();
      for (std::size_t axis = 0; axis < num_axes; ++axis, ++coefficient) {
        const double value = tables.coefficients[coefficient];
        if (value != 0.0) terms_.push_back({static_cast<std::uint32_t>(axis), value});
      }
      dimensions_.push_back({tables.dimensions[2 * dimension], tables.dimensions[2 * dimension + 1],
                             static_cast<std::uint32_t>(first_term),
                             static_cast<std::uint32_t>(terms_.size() - first_term)});
    }
  }
  require(2 * dimension == tables.dimensions.size(), "dimensions");
  require(coefficient == tables.coefficients.size(), "coefficients");
}

void Computation::add_evaluations(const ComputationTables& tables) {
  require(tables.evaluations.size() == 2 * tables.evaluated.size(), "evaluations");
  for (std::size_t e = 0; e < tables.evaluated.size(); ++e) {
    const std::int64_t host = tables.evaluations[2 * e], stage = tables.evaluations[2 * e + 1];
    require(in_range(host, stages_.size()) && in_range(stage, stages_.size()), "evaluation");
    require(stages_[host].runs() && stages_[stage].is_inlined, "stages of an evaluation");
    evaluations_.push_back({static_cast<std::int32_t>(host), static_cast<std::int32_t>(stage), tables.evaluated[e]});
  }
}

void Computation::index_accesses() {
  host_ptr_.assign(stages_.size() + 1, 0);
  reader_ptr_.assign(stages_.size() + 1, 0);
  for (const Access& access : accesses_) {
    ++host_ptr_[access.host + 1];
    ++reader_ptr_[access.producer + 1];
  }
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    host_ptr_[i + 1] += host_ptr_[i];
    reader_ptr_[i + 1] += reader_ptr_[i];
  }
  readers_.resize(accesses_.size());
  std::vector<std::uint32_t> next(reader_ptr_.begin(), reader_ptr_.end() - 1);
  for (std::size_t a = 0; a < accesses_.size(); ++a) {
    readers_[next[accesses_[a].producer]++] = static_cast<std::uint32_t>(a);
  }
}

}  // namespace tvm_gnn_cost
