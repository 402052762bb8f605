// What a set of stages computes: the C++ counterpart of tvm_gnn_cost/graphs/computation.py. Python reads it from TVM's
// expressions, once for each set of stages and inlining decisions; here it only serves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "graphs/span.h"

namespace tvm_gnn_cost {

struct StageComputation {
  bool is_placeholder;
  bool is_inlined;
  bool is_shared;  // a cache in shared memory
  std::int64_t element_bytes;  // of all outputs together
  double flop;  // floating-point operations of one iteration, inlined stages included
  std::uint32_t first_axis;
  std::uint32_t num_spatial;
  std::uint32_t num_axes;  // spatial axes, then reduction axes
  std::uint32_t first_output;
  std::uint32_t num_outputs;

  bool runs() const { return !is_placeholder && !is_inlined; }
};

// coefficient * axis, of the host's axes.
struct Term {
  std::uint32_t axis;
  double coefficient;
};

// The index of one dimension of a buffer; coefficients that are zero have no term.
struct Dimension {
  double spread;
  double limit;
  std::uint32_t first_term;
  std::uint32_t num_terms;
};

// The reads of a buffer that a stage executes through one edge with the same coefficients: in every iteration, or once
// an element, before its reduction.
struct Access {
  std::int32_t host;
  std::int32_t producer;
  std::int32_t edge;
  bool affine;
  bool once;
  std::int64_t element_bytes;
  double reads;
  std::uint32_t first_dimension;
  std::uint32_t num_dimensions;
};

// How often one iteration of a stage evaluates one that is inlined.
struct Evaluation {
  std::int32_t host;
  std::int32_t stage;
  double count;
};

struct Edge {
  std::int32_t producer;
  std::int32_t consumer;
};

// A computation end to end, as Python hands it over.
struct ComputationTables {
  Span<std::int64_t> stages;        // (stages, 6): is_placeholder, is_inlined, is_shared, outputs, spatial axes,
                                    // reduction axes
  Span<std::int64_t> output_bytes;  // of an element of every output of every stage
  Span<std::int64_t> axis_extents;  // of all axes of all stages
  Span<double> flop;                // (stages,)
  Span<std::int64_t> edges;         // (edges, 2): producer, consumer
  Span<std::int64_t> accesses;      // (accesses, 7): host, producer, edge, affine, dimensions, output, once
  Span<double> reads;               // (accesses,)
  Span<double> dimensions;          // (dimensions, 2): spread, limit
  Span<double> coefficients;        // of every dimension, one for each axis of the access's host
  Span<std::int64_t> evaluations;   // (evaluations, 2): host, inlined stage
  Span<double> evaluated;           // (evaluations,): count
  Span<float> static_nodes;         // (stages, kStaticNodeFeatures)
  Span<float> static_edges;         // (edges, kStaticEdgeFeatures)
};

class Computation {
 public:
  // Raises std::invalid_argument for tables that do not fit together.
  explicit Computation(const ComputationTables& tables);

  std::size_t num_stages() const { return stages_.size(); }
  const StageComputation& stage(std::size_t i) const { return stages_[i]; }
  const std::vector<Edge>& edges() const { return edges_; }
  const std::vector<Evaluation>& evaluations() const { return evaluations_; }
  std::size_t num_axes() const { return axis_extents_.size(); }

  Span<std::int64_t> axes(const StageComputation& stage) const {
    return {axis_extents_.data() + stage.first_axis, stage.num_axes};
  }
  // Bytes of an element of each output.
  Span<std::int64_t> outputs(const StageComputation& stage) const {
    return {output_bytes_.data() + stage.first_output, stage.num_outputs};
  }
  // The accesses that stage i executes.
  Span<Access> accesses_of(std::size_t i) const {
    return {accesses_.data() + host_ptr_[i], host_ptr_[i + 1] - host_ptr_[i]};
  }
  // The accesses to stage i's buffer.
  Span<std::uint32_t> readers_of(std::size_t i) const {
    return {readers_.data() + reader_ptr_[i], reader_ptr_[i + 1] - reader_ptr_[i]};
  }
  const Access& access(std::size_t a) const { return accesses_[a]; }
  Span<Dimension> dimensions(const Access& access) const {
    return {dimensions_.data() + access.first_dimension, access.num_dimensions};
  }
  Span<Term> terms(const Dimension& dimension) const {
    return {terms_.data() + dimension.first_term, dimension.num_terms};
  }
  const float* static_node(std::size_t i) const;
  const float* static_edge(std::size_t e) const;

 private:
  void add_stages(const ComputationTables& tables);
  void add_edges(const ComputationTables& tables);
  void add_accesses(const ComputationTables& tables);
  void add_evaluations(const ComputationTables& tables);
  void index_accesses();

  std::vector<StageComputation> stages_;
  std::vector<std::int64_t> axis_extents_, output_bytes_;
  std::vector<Edge> edges_;
  std::vector<Evaluation> evaluations_;
  std::vector<Access> accesses_;  // by host
  std::vector<Dimension> dimensions_;
  std::vector<Term> terms_;
  std::vector<std::uint32_t> host_ptr_, readers_, reader_ptr_;
  std::vector<float> static_nodes_, static_edges_;
};

}  // namespace tvm_gnn_cost
