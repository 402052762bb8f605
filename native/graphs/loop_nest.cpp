#include "graphs/loop_nest.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "graphs/arithmetic.h"

namespace tvm_gnn_cost {

namespace {

constexpr std::size_t kMostSpans = 1 << 24;

}  // namespace

void LoopNest::start(const Computation& computation, Span<Placement> placements, Span<std::uint32_t> loop_ptr) {
  forget_spans();
  computation_ = &computation;
  placements_ = placements;
  loop_ptr_ = loop_ptr;
  const std::size_t count = computation.num_stages();
  if (placements.size() != count || loop_ptr.size() != count + 1) {
    throw ScheduleError("another number of stages than the computation has");
  }
  check_attachments();
  loops_.resize(loop_ptr[count]);
  is_doubtful_ = false;
  num_loops_.assign(count, 0);
  outer_.clear();
  outer_range_.assign(count, PartRange{});
  axis_extents_.resize(computation.num_axes());
  pool_.clear();

  first_position_.resize(count);
  num_positions_ = 0;
  for (std::size_t i = 0; i < count; ++i) {
    first_position_[i] = num_positions_;
    num_positions_ += loop_ptr[i + 1] - loop_ptr[i] + 2;
    const StageComputation& stage = computation.stage(i);
    const Span<std::int64_t> axes = computation.axes(stage);
    std::copy(axes.begin(), axes.end(), axis_extents_.begin() + stage.first_axis);  // until loops say otherwise
  }
  const std::size_t num_spans = 2 * count * num_positions_;
  if (num_spans > kMostSpans) throw ScheduleError("too many stages and loops");
  if (spans_.size() < num_spans) spans_.resize(num_spans, nullptr);
}

// A stage is attached in a later one, always: that there is no circle is what the walks along attachments rest on.
void LoopNest::check_attachments() {
  const std::size_t count = computation_->num_stages();
  root_.resize(count);
  attached_stages_.assign(count, 0);
  for (std::size_t i = count; i-- > 0;) {
    root_[i] = static_cast<std::int32_t>(i);
    if (!is_attached(i)) continue;
    const std::int32_t target = placement(i).attach_stage, loop = placement(i).attach_loop;
    if (target <= static_cast<std::int32_t>(i) || target >= static_cast<std::int32_t>(count) || loop < 0 ||
        loop >= static_cast<std::int32_t>(loop_ptr_[target + 1] - loop_ptr_[target])) {
      throw ScheduleError("stage " + std::to_string(i) + " is attached at loop " + std::to_string(loop) +
                          " of stage " + std::to_string(target));
    }
    root_[i] = root_[target];
  }
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = i; is_attached(j);) {
      j = placement(j).attach_stage;
      ++attached_stages_[j];
    }
  }
}

Span<double> LoopNest::extents_to_cover(std::int32_t i) {
  const StageComputation& stage = computation_->stage(i);
  if (is_attached(i)) return attached_spans(i, stage.is_shared);
  double* const full = arena_.allocate(stage.num_axes);
  const Span<std::int64_t> axes = computation_->axes(stage);
  std::copy(axes.begin(), axes.end(), full);
  return {full, stage.num_axes};
}

void LoopNest::add_loops(std::int32_t i, Span<NestLoop> loops) {
  if (loops.size() != loop_ptr_[i + 1] - loop_ptr_[i]) {
    throw ScheduleError("stage " + std::to_string(i) + " has " + std::to_string(loops.size()) + " loops, not " +
                        std::to_string(loop_ptr_[i + 1] - loop_ptr_[i]));
  }
  num_loops_[i] = static_cast<std::uint32_t>(loops.size());
  for (std::size_t index = 0; index < loops.size(); ++index) {
    NestLoop& loop = loops_[loop_ptr_[i] + index];
    loop = loops[index];
    loop.stage = i;
    loop.index = static_cast<std::int32_t>(index);
    is_doubtful_ = is_doubtful_ || !loop.exact ||
                   (loop.annotation == Annotation::kVectorize && parts(loop).size() > 1);
  }
  derive_covered(i);
  derive_outer(i);
}

void LoopNest::derive_covered(std::int32_t i) {
  const StageComputation& stage = computation_->stage(i);
  const Span<std::int64_t> full = computation_->axes(stage);
  std::int64_t* const covered = axis_extents_.data() + stage.first_axis;
  std::fill(covered, covered + stage.num_axes, 1);
  for (const NestLoop& loop : loops(i)) {
    for (const Part& part : parts(loop)) {
      covered[part.axis] = add(covered[part.axis], multiply(part.extent - 1, part.stride));
    }
  }
  for (std::size_t axis = 0; axis < full.size(); ++axis) covered[axis] = std::min(covered[axis], full[axis]);
}

void LoopNest::derive_outer(std::int32_t i) {
  outer_range_[i] = {static_cast<std::uint32_t>(outer_.size()), static_cast<std::uint32_t>(outer_.size())};
  if (!is_attached(i)) return;
  Annotations own = 0;
  for (const NestLoop& loop : loops(i)) own |= annotations(loop.annotation) & kThreadAnnotations;
  if (computation_->stage(i).is_shared) own |= annotations(Annotation::kVThread);
  const std::int32_t target = placement(i).attach_stage;
  const auto push = [&](std::uint32_t id) {
    if (!loops_[id].is(own)) outer_.push_back(id);
  };
  for (std::uint32_t k = outer_range_[target].begin; k < outer_range_[target].end; ++k) push(outer_[k]);
  const std::uint32_t around = std::min(num_loops_[target], static_cast<std::uint32_t>(placement(i).attach_loop) + 1);
  for (std::uint32_t k = 0; k < around; ++k) push(loop_ptr_[target] + k);
  outer_range_[i].end = static_cast<std::uint32_t>(outer_.size());
}

bool LoopNest::inside(std::int32_t i, std::int32_t target, std::int32_t position) const {
  while (is_attached(i)) {
    const std::int32_t at = placement(i).attach_loop;
    i = placement(i).attach_stage;
    if (i == target) return at >= position;
  }
  return false;
}

Span<double> LoopNest::spans(std::int32_t i, std::int32_t target, std::int32_t position, bool relax) {
  const std::size_t num_axes = computation_->stage(i).num_axes;
  const std::size_t place = first_position_[target] + static_cast<std::size_t>(position + 1);
  const std::size_t key = 2 * (static_cast<std::size_t>(i) * num_positions_ + place) + (relax ? 1 : 0);
  if (spans_[key] == nullptr) {
    double* const out = arena_.allocate(num_axes);
    compute_spans(i, target, position, relax, out);
    spans_[key] = out;
    known_.push_back(key);
  }
  return {spans_[key], num_axes};
}

void LoopNest::compute_spans(std::int32_t i, std::int32_t target, std::int32_t position, bool relax, double* out) {
  if (i == target) return own_spans(i, position, relax, out);
  const StageComputation& stage = computation_->stage(i);
  const Span<std::int64_t> full = computation_->axes(stage);
  double* const touched = arena_.allocate(stage.num_spatial);
  bool is_first = true;
  for (const std::uint32_t a : computation_->readers_of(i)) {
    const Access& access = computation_->access(a);
    if (access.host != target && !inside(access.host, target, position)) continue;
    region(access, spans(access.host, target, position, relax), touched);
    for (std::size_t d = 0; d < stage.num_spatial; ++d) out[d] = is_first ? touched[d] : std::max(out[d], touched[d]);
    is_first = false;
  }
  std::copy(full.begin() + (is_first ? 0 : stage.num_spatial), full.end(), out + (is_first ? 0 : stage.num_spatial));
}

void LoopNest::own_spans(std::int32_t i, std::int32_t position, bool relax, double* out) {
  const Span<std::int64_t> full = computation_->axes(computation_->stage(i));
  std::fill(out, out + full.size(), 1.0);
  for (const NestLoop& loop : loops(i)) {
    if (loop.index <= position && !(relax && loop.is(kSharedByThreads))) continue;
    for (const Part& part : parts(loop)) {
      out[part.axis] += static_cast<double>(multiply(part.extent - 1, part.stride));
    }
  }
  if (relax && is_attached(i)) {
    // the threads may be loops of the stages around i: they move what i covers as a whole
    const Span<double> one = attached_spans(i, false);
    const Span<double> block = attached_spans(i, true);
    for (std::size_t axis = 0; axis < full.size(); ++axis) out[axis] = out[axis] + block[axis] - one[axis];
  }
  for (std::size_t axis = 0; axis < full.size(); ++axis) {
    out[axis] = std::min(out[axis], static_cast<double>(full[axis]));
  }
}

void LoopNest::region(const Access& access, Span<double> spans, double* out) const {
  const Span<std::int64_t> sizes = computation_->axes(computation_->stage(access.producer));
  const Span<Dimension> dimensions = computation_->dimensions(access);
  for (std::size_t d = 0; d < dimensions.size(); ++d) {
    double span = 1.0 + dimensions[d].spread;
    for (const Term& term : computation_->terms(dimensions[d])) {
      span += std::abs(term.coefficient) * (spans[term.axis] - 1.0);
    }
    const double bounded = std::min(std::min(span, dimensions[d].limit), static_cast<double>(sizes[d]));
    out[d] = ceiling(std::max(0.0, bounded));
  }
}

void LoopNest::forget_spans() {
  for (const std::size_t key : known_) spans_[key] = nullptr;
  known_.clear();
  arena_.reset();
}

}  // namespace tvm_gnn_cost
