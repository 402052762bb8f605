// Which axis every loop runs over, and the region of a stage that any loop level touches: the C++ counterpart of
// tvm_gnn_cost/stage_graph/loop_nest.py.
#pragma once

#include <cstdint>
#include <vector>

#include "arena.h"
#include "computation.h"
#include "replay.h"
#include "schedule.h"
#include "stage_steps.h"

namespace tvm_gnn_cost {

using Annotations = std::uint32_t;  // a set: one bit each

constexpr Annotations annotations(Annotation annotation) { return 1u << static_cast<std::int32_t>(annotation); }

inline constexpr Annotations kBlockAnnotations =
    annotations(Annotation::kBlockX) | annotations(Annotation::kBlockY) | annotations(Annotation::kBlockZ);
inline constexpr Annotations kThreadAnnotations =
    annotations(Annotation::kThreadX) | annotations(Annotation::kThreadY) | annotations(Annotation::kThreadZ);
inline constexpr Annotations kSharedByThreads = kThreadAnnotations | annotations(Annotation::kVThread);

// Loop `index` of stage `stage`. `exact` is false where TVM gave no constant extent and it is estimated.
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
class LoopNest {
 public:
  // Both must live as long as the nest is used. Raises ScheduleError for a schedule that makes no sense.
  void build(const Computation& computation, const Schedule& schedule, const StageSteps& steps);

  const Computation& computation() const { return *computation_; }
  const StageSchedule& how(std::size_t i) const { return schedule_->stages[i]; }
  std::size_t num_stages() const { return computation_->num_stages(); }

  // The stage's own loops in order, trivial ones included. None for placeholders and inlined stages.
  Span<NestLoop> loops(std::size_t i) const { return {loops_.data() + how(i).first_loop, num_loops_[i]}; }
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

  // Whether stage i is computed inside a loop of another.
  bool is_attached(std::size_t i) const { return how(i).compute_at == ComputeAt::kIter && how(i).attach_stage >= 0; }
  // The outermost stage around stage i.
  std::int32_t root(std::size_t i) const { return root_[i]; }
  // The number of stages inside stage i, at any depth.
  std::int32_t attached_stages(std::size_t i) const { return attached_stages_[i]; }
  // Whether stage i runs inside loop `position` of stage `target` (-1: inside the stage at all).
  bool inside(std::int32_t i, std::int32_t target, std::int32_t position) const;

  // The region of stage i that one iteration of loop `position` of `target` touches: a span for every axis. `target` is
  // i itself or a stage that i is attached in. With `relax`, the threads of a block count as running, as TVM's bound
  // inference has it for shared memory. Valid until the next `build`.
  Span<double> spans(std::int32_t i, std::int32_t target, std::int32_t position, bool relax);
  // The same for the loop that stage i is attached to.
  Span<double> attached_spans(std::int32_t i, bool relax) {
    return spans(i, how(i).attach_stage, how(i).attach_loop, relax);
  }
  // The span of every dimension of the producer that an access touches while its host's axes run over `spans`.
  void region(const Access& access, Span<double> spans, double* out) const;

  // Memory for what is derived from the nest; valid until the next `build`.
  Arena& arena() { return arena_; }

 private:
  void check_attachments();
  void derive(std::int32_t i, Span<std::uint32_t> steps);
  void derive_loops(std::int32_t i, const std::vector<PartRange>& parts);
  void derive_covered(std::int32_t i);
  void derive_outer(std::int32_t i);
  void compute_spans(std::int32_t i, std::int32_t target, std::int32_t position, bool relax, double* out);
  void own_spans(std::int32_t i, std::int32_t position, bool relax, double* out);
  void forget_spans();

  const Computation* computation_ = nullptr;
  const Schedule* schedule_ = nullptr;
  std::vector<NestLoop> loops_;  // where Schedule::loops_storage has them
  std::vector<std::uint32_t> num_loops_, outer_;
  std::vector<PartRange> outer_range_;
  std::vector<std::int64_t> axis_extents_;
  std::vector<std::int32_t> root_, attached_stages_;
  PartPool pool_;
  Replay replay_;
  Arena arena_;

  // Known spans by (stage, target, position, relax); null where not known.
  std::vector<const double*> spans_;
  std::vector<std::size_t> known_;
  std::vector<std::size_t> first_position_;  // by target: of its positions -1, 0, ... number of loops
  std::size_t num_positions_ = 0;
};

}  // namespace tvm_gnn_cost
