// Which axis every loop runs over, and the region of a stage that any loop level touches: the C++ counterpart of
// tvm_gnn_cost/graphs/loop_nest.py.
#pragma once

#include <cstdint>
#include <vector>

#include "graphs/arena.h"
#include "graphs/computation.h"
#include "graphs/loops.h"
#include "graphs/parts.h"
#include "graphs/span.h"

namespace tvm_gnn_cost {

// Loop `index` of stage `stage`. `exact` is false where the schedule has no constant extent and it is estimated.
struct NestLoop {
  std::int32_t stage;
  std::int32_t index;
  std::int64_t extent;
  LoopKind kind;
  Annotation annotation;
  PartRange parts;
  bool exact;

  bool is(Annotations set) const { return (annotations(annotation) & set) != 0; }
};

// The loop nests of all stages of one schedule. One object serves many schedules in turn and keeps its memory.
//
// Whoever reads the schedule gives the loops: `start`, then `add_loops` for every stage that runs, from the last to the
// first. Consumers come first since they decide what a stage inside them has to cover, which is asked for with
// `extents_to_cover` before the loops of that stage are made.
class LoopNest {
 public:
  // A new schedule: stage i is placed by placements[i] and has loop_ptr[i + 1] - loop_ptr[i] loops. The arguments must
  // live as long as the nest is used. Raises ScheduleError for placements that make no sense.
  void start(const Computation& computation, Span<Placement> placements, Span<std::uint32_t> loop_ptr);
  // The extent of every axis (spatial, then reduction) that one run of stage i has to cover. Valid until the next
  // `start`.
  Span<double> extents_to_cover(std::int32_t i);
  // Memory for the parts of loops.
  PartPool& part_pool() { return pool_; }
  // The loops of stage i, as many as `start` was told, with parts in the pool; `stage` and `index` are filled in.
  void add_loops(std::int32_t i, Span<NestLoop> loops);

  const Computation& computation() const { return *computation_; }
  const Placement& placement(std::size_t i) const { return placements_[i]; }
  std::size_t num_stages() const { return computation_->num_stages(); }
  // See BuiltGraphs.doubtful.
  bool is_doubtful() const { return is_doubtful_; }

  // The stage's own loops in order, trivial ones included. None for placeholders and inlined stages.
  Span<NestLoop> loops(std::size_t i) const { return {loops_.data() + loop_ptr_[i], num_loops_[i]}; }
  // The loops of the stages it is attached in, outermost first, without those it shares with them (a thread index bound
  // again), as ids for `loop`.
  Span<std::uint32_t> outer(std::size_t i) const {
    return {outer_.data() + outer_range_[i].begin, outer_range_[i].end - outer_range_[i].begin};
  }
  const NestLoop& loop(std::uint32_t id) const { return loops_[id]; }
  Span<Part> parts(const NestLoop& loop) const { return pool_.parts(loop.parts); }

  // The extent of every axis (spatial, then reduction) that one run of the stage covers.
  Span<std::int64_t> axis_extents(std::size_t i) const {
    const StageComputation& stage = computation_->stage(i);
    return {axis_extents_.data() + stage.first_axis, stage.num_axes};
  }

  bool is_attached(std::size_t i) const { return placement(i).is_attached(); }
  // The outermost stage around stage i.
  std::int32_t root(std::size_t i) const { return root_[i]; }
  // The number of stages inside stage i, at any depth.
  std::int32_t attached_stages(std::size_t i) const { return attached_stages_[i]; }
  // Whether stage i runs inside loop `position` of stage `target` (-1: inside the stage at all).
  bool inside(std::int32_t i, std::int32_t target, std::int32_t position) const;

  // The region of stage i that one iteration of loop `position` of `target` touches: a span for every axis. `target` is
  // i itself or a stage that i is attached in. With `relax`, the threads of a block count as running, as TVM's bound
  // inference has it for shared memory. Valid until the next `start`.
  Span<double> spans(std::int32_t i, std::int32_t target, std::int32_t position, bool relax);
  // The same for the loop that stage i is attached to.
  Span<double> attached_spans(std::int32_t i, bool relax) {
    return spans(i, placement(i).attach_stage, placement(i).attach_loop, relax);
  }
  // The span of every dimension of the producer that an access touches while its host's axes run over `spans`.
  void region(const Access& access, Span<double> spans, double* out) const;

  // Memory for what is derived from the nest; valid until the next `start`.
  Arena& arena() { return arena_; }

 private:
  void check_attachments();
  void derive_covered(std::int32_t i);
  void derive_outer(std::int32_t i);
  void compute_spans(std::int32_t i, std::int32_t target, std::int32_t position, bool relax, double* out);
  void own_spans(std::int32_t i, std::int32_t position, bool relax, double* out);
  void forget_spans();

  const Computation* computation_ = nullptr;
  Span<Placement> placements_;
  Span<std::uint32_t> loop_ptr_;
  std::vector<NestLoop> loops_;  // those of stage i begin at loop_ptr_[i]
  bool is_doubtful_ = false;
  std::vector<std::uint32_t> num_loops_, outer_;
  std::vector<PartRange> outer_range_;
  std::vector<std::int64_t> axis_extents_;
  std::vector<std::int32_t> root_, attached_stages_;
  PartPool pool_;
  Arena arena_;

  // Known spans by (stage, target, position, relax); null where not known.
  std::vector<const double*> spans_;
  std::vector<std::size_t> known_;
  std::vector<std::size_t> first_position_;  // by target: of its positions -1, 0, ... number of loops
  std::size_t num_positions_ = 0;
};

}  // namespace tvm_gnn_cost
