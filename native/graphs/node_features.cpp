#include "graphs/node_features.h"

#include <algorithm>
#include <cmath>

#include "graphs/arithmetic.h"
#include "graphs/products.h"

namespace tvm_gnn_cost {

namespace {

enum class Lane { kInvariant, kContiguous, kStrided };

Lane lane_kind(double stride) {
  if (stride == 0.0) return Lane::kInvariant;
  return stride <= 1.0 ? Lane::kContiguous : Lane::kStrided;
}

// Bytes of the cache lines that a box of elements touches, when its rows start on line boundaries.
double line_bytes(Span<double> region, double element_bytes, double line) {
  double rows = 1.0, row = element_bytes;
  if (!region.empty()) {
    rows = product(first(region, region.size() - 1));
    row = region[region.size() - 1] * element_bytes;
  }
  return rows * ceiling(row / line) * line;
}

double dot(Span<Term> terms, Span<double> values) {
  double result = 0.0;
  for (const Term& term : terms) result += term.coefficient * values[term.axis];
  return result;
}

}  // namespace

void NodeFeatures::look(LoopNest& nest, KernelMemory& kernels, std::int32_t i) {
  nest_ = &nest;
  kernels_ = &kernels;
  i_ = i;
  stage_ = &nest.computation().stage(i);
  loops_.clear();
  for (const std::uint32_t id : nest.outer(i)) {
    if (nest.loop(id).extent > 1) loops_.push_back(&nest.loop(id));
  }
  num_outer_ = loops_.size();
  for (const NestLoop& loop : nest.loops(i)) {
    if (loop.extent > 1) loops_.push_back(&loop);
  }
  outside_.assign(1, 1.0);
  for (const NestLoop* loop : loops_) outside_.push_back(outside_.back() * static_cast<double>(loop->extent));
  iterations_ = outside_.back();
  vector_loop_ = nullptr;
  for (std::size_t level = num_outer_; level < loops_.size(); ++level) {
    if (loop(level).annotation == Annotation::kVectorize) vector_loop_ = &loop(level);
  }
  derive_levels();
  derive_groups();
  derive_lane();
}

// What every level touches.
void NodeFeatures::derive_levels() {
  output_.clear();
  lines_.clear();
  touched_.clear();
  distinct_.clear();
  const double line = hardware_.cache_line_bytes;
  double begun = 1.0;  // iterations of a reduction by its loops outside the level
  for (std::size_t level = 0; level <= loops_.size(); ++level) {
    const Span<double> spans =
        level == loops_.size()
            ? nest_->spans(i_, i_, static_cast<std::int32_t>(nest_->loops(i_).size()), false)
            : nest_->spans(i_, loop(level).stage, loop(level).index - 1, stage_->is_shared && loop(level).stage != i_);
    double touched = 0.0;
    for (const Access& access : accesses()) {
      double* const box = nest_->arena().allocate(access.num_dimensions);
      nest_->region(access, spans, box);
      const Span<double> region{box, access.num_dimensions};
      const double runs = access.once ? begun : 1.0;
      distinct_.push_back(product(region) / runs);
      lines_.push_back(line_bytes(region, static_cast<double>(access.element_bytes), line) / runs);
      touched += lines_.back();
    }
    const Span<double> written = first(spans, stage_->num_spatial);
    double lines_written = 0.0;
    for (const std::int64_t bytes : nest_->computation().outputs(*stage_)) {
      lines_written += line_bytes(written, static_cast<double>(bytes), line);
    }
    lines_.push_back(lines_written);
    touched += lines_.back();
    touched_.push_back(touched);
    output_.push_back(product(written));
    if (level < loops_.size() && loop(level).stage == i_ && loop(level).kind == LoopKind::kReduction) {
      begun *= static_cast<double>(loop(level).extent);
    }
  }
  for (std::size_t c = 0; c < kNumCaches; ++c) {  // the outermost level that fits, or the innermost one
    std::size_t level = 0;
    while (level < loops_.size() && !(touched_[level] <= hardware_.cache_bytes[c])) ++level;
    cache_levels_[c] = level;
  }
}

void NodeFeatures::derive_groups() {
  groups_.clear();
  for (std::size_t level = loops_.size(); level-- > 0;) {
    const bool reduces = loop(level).kind == LoopKind::kReduction;
    const auto extent = static_cast<double>(loop(level).extent);
    if (!groups_.empty() && groups_.back().reduces == reduces) {
      groups_.back().level = level;
      groups_.back().extent *= extent;
    } else {
      groups_.push_back({level, extent, reduces});
    }
  }
}

// The distances between neighbouring iterations of the innermost loop.
void NodeFeatures::derive_lane() {
  lane_strides_.assign(accesses().size(), 0.0);
  lane_store_ = 0.0;
  if (loops_.empty()) return;
  const Span<double> lane = shift(i_, *loops_.back());
  lane_store_ = store_stride(lane);
  for (std::size_t k = 0; k < lane_strides_.size(); ++k) lane_strides_[k] = stride(accesses()[k], lane);
}

double NodeFeatures::extent_of(Annotations set) const {
  double result = 1.0;
  for (const NestLoop* loop : loops_) {
    if (loop->is(set)) result *= static_cast<double>(loop->extent);
  }
  return result;
}

void NodeFeatures::write_node(Row row) {
  write_place(row);
  write_parallelism(row);
  write_vectorisation(row);
  write_inner_loops(row);
  write_memory(row);
  write_lane(row);
  write_gpu(row);
}

void NodeFeatures::write_place(Row row) const {
  const double domain = domain_size(nest_->computation(), *stage_);
  double own = 1.0, inexact = 0.0;
  for (std::size_t level = num_outer_; level < loops_.size(); ++level) own *= static_cast<double>(loop(level).extent);
  for (const NestLoop& loop : nest_->loops(i_)) inexact += loop.exact ? 0.0 : 1.0;
  const ComputeAt at = nest_->placement(i_).compute_at;
  row.set(node::at_root, at == ComputeAt::kRoot);
  row.set(node::at_loop, at == ComputeAt::kIter);
  row.set(node::attached_stages, log2p(nest_->attached_stages(i_)));
  row.set(node::outer_loops, log2p(static_cast<double>(num_outer_)));
  row.set(node::own_loops, log2p(static_cast<double>(loops_.size() - num_outer_)));
  row.set(node::outer_iterations, log2p(iterations_ / own));
  row.set(node::own_iterations, log2p(own));
  row.set(node::iterations, log2p(iterations_));
  row.set(node::recomputation, log2p(ratio(iterations_, domain)));
  row.set(node::inexact_loops, log2p(inexact));
}

Annotations NodeFeatures::parallel() const {
  return hardware_.is_gpu ? kBlockAnnotations : annotations(Annotation::kParallel);
}

double NodeFeatures::imbalance() const {
  const double cores = hardware_.cores, around = extent_of(parallel());
  return ceiling(around / cores) * cores / around;
}

void NodeFeatures::write_parallelism(Row row) const {
  const double around = extent_of(parallel());
  double inside = iterations_;
  for (std::size_t level = 0; level < loops_.size(); ++level) {
    if (loop(level).is(parallel())) inside = iterations_ / outside_[level + 1];
  }
  row.set(node::parallel, log2p(around));
  row.set(node::parallel_per_core, log2p(around / hardware_.cores));
  row.set(node::imbalance, imbalance());
  row.set(node::iterations_per_core, log2p(iterations_per_core()));
  row.set(node::inside_parallel, log2p(inside));
}

void NodeFeatures::write_vectorisation(Row row) const {
  const double length = vector_loop_ != nullptr ? static_cast<double>(vector_loop_->extent) : 1.0;
  const double filled = length * static_cast<double>(stage_->element_bytes) / hardware_.simd_bytes;
  const double registers = ceiling(filled);
  const double limit = auto_unroll();
  double reads = 0.0, body = 1.0;
  for (const Access& access : accesses()) reads += access.reads;
  for (std::size_t level = loops_.size(); level-- > 0;) {
    if (loop(level).annotation == Annotation::kVectorize) continue;
    const auto extent = static_cast<double>(loop(level).extent);
    if (loop(level).annotation != Annotation::kUnroll && body * extent > limit) break;
    body *= extent;
  }
  row.set(node::vector, log2p(length));
  row.set(node::vector_registers, log2p(registers));
  row.set(node::vector_waste, 1.0 - filled / registers);
  row.set(node::unroll, log2p(extent_of(annotations(Annotation::kUnroll))));
  row.set(node::auto_unroll, log2p(limit));
  row.set(node::unrolled_body, log2p(body));
  row.set(node::body_instructions, log2p(body * (stage_->flop + reads) * registers));
  row.set(node::storage_offset, log2p(std::abs(static_cast<double>(nest_->placement(i_).storage_offset))));
}

// The pragma of the stage, or a larger one of a stage around it: a pragma holds for all that is inside.
double NodeFeatures::auto_unroll() const {
  std::int32_t largest = std::max(0, nest_->placement(i_).auto_unroll_max_step);
  for (std::int32_t i = i_; nest_->is_attached(i);) {
    i = nest_->placement(i).attach_stage;
    largest = std::max(largest, nest_->placement(i).auto_unroll_max_step);
  }
  return largest;
}

void NodeFeatures::write_inner_loops(Row row) const {
  const double flop = stage_->flop * iterations_;
  for (std::size_t k = 0; k < kNumInner; ++k) {
    const NestLoop* const inner = k < loops_.size() ? loops_[loops_.size() - 1 - k] : nullptr;
    row.set(node::inner_extent[k], inner != nullptr ? log2p(static_cast<double>(inner->extent)) : 0.0);
    row.set(node::inner_reduction[k], inner != nullptr && inner->kind == LoopKind::kReduction);
  }
  for (std::size_t k = 0; k < std::min<std::size_t>(kNumGroups, groups_.size()); ++k) {  // the other columns are zero
    const Group& group = groups_[k];
    row.set(node::group_extent[k], log2p(group.extent));
    row.set(node::group_reduction[k], group.reduces);
    row.set(node::group_output[k], log2p(output_[group.level]));
    row.set(node::group_bytes[k], log2p(touched_[group.level]));
    row.set(node::group_intensity[k], log2p(ratio(flop / outside_[group.level], touched_[group.level])));
  }
}

void NodeFeatures::write_memory(Row row) const {
  const double flop = stage_->flop * iterations_;
  for (std::size_t c = 0; c < kNumCaches; ++c) {
    row.set(node::refills[c], log2p(outside_[cache_levels_[c]]));
    row.set(node::traffic[c], log2p(traffic(c)));
    row.set(node::intensity[c], log2p(ratio(flop, traffic(c))));
  }
  row.set(node::unique_bytes, log2p(touched_[0]));
  row.set(node::allocation, log2p(buffer_bytes(*nest_, i_)));
}

// --- neighbouring iterations ---

// How far every axis of stage i moves from one iteration of `loop` to the next.
Span<double> NodeFeatures::shift(std::int32_t i, const NestLoop& loop) const {
  const Computation& computation = nest_->computation();
  const std::size_t num_axes = computation.stage(i).num_axes;
  double* const result = nest_->arena().allocate(num_axes);
  std::fill(result, result + num_axes, 0.0);
  if (loop.stage == i) {
    const Span<Part> parts = nest_->parts(loop);
    if (!parts.empty()) {
      const Part& innermost = parts[parts.size() - 1];
      result[innermost.axis] = static_cast<double>(innermost.stride);
    }
    return {result, num_axes};
  }
  for (const std::uint32_t a : computation.readers_of(i)) {
    const Access& access = computation.access(a);
    if (access.host != loop.stage && !nest_->inside(access.host, loop.stage, loop.index)) continue;
    const Span<double> outer = shift(access.host, loop);
    const Span<Dimension> dimensions = computation.dimensions(access);
    for (std::size_t d = 0; d < dimensions.size(); ++d) result[d] = dot(computation.terms(dimensions[d]), outer);
    break;
  }
  return {result, num_axes};
}

// Elements between the reads of neighbouring iterations, in the producer's row-major buffer.
double NodeFeatures::stride(const Access& access, Span<double> shift) const {
  const Computation& computation = nest_->computation();
  const Span<Dimension> dimensions = computation.dimensions(access);
  const Span<std::int64_t> shape = nest_->axis_extents(access.producer);
  double offset = 0.0, step = 1.0;
  for (std::size_t d = dimensions.size(); d-- > 0;) {
    offset += dot(computation.terms(dimensions[d]), shift) * step;
    step *= static_cast<double>(shape[d]);
  }
  return std::abs(offset);
}

double NodeFeatures::store_stride(Span<double> shift) const {
  const bool at_loop = nest_->placement(i_).compute_at == ComputeAt::kIter;
  const Span<std::int64_t> shape = at_loop ? nest_->axis_extents(i_) : nest_->computation().axes(*stage_);
  double offset = 0.0, step = 1.0;
  for (std::size_t d = stage_->num_spatial; d-- > 0;) {
    offset += shift[d] * step;
    step *= static_cast<double>(shape[d]);
  }
  return std::abs(offset);
}

void NodeFeatures::write_lane(Row row) const {
  double contiguous = 0.0, invariant = 0.0, strided = 0.0;
  const double vector_store = vector_loop_ != nullptr ? store_stride(shift(i_, *vector_loop_)) : 0.0;
  if (!loops_.empty()) {
    for (std::size_t k = 0; k < lane_strides_.size(); ++k) {
      const Lane kind = lane_kind(lane_strides_[k]);
      (kind == Lane::kContiguous ? contiguous : kind == Lane::kInvariant ? invariant : strided) += accesses()[k].reads;
    }
  }
  row.set(node::store_stride, log2p(lane_store_));
  row.set(node::store_vector_stride, log2p(vector_store));
  row.set(node::store_contiguous, lane_kind(lane_store_) == Lane::kContiguous);
  row.set(node::store_invariant, lane_kind(lane_store_) == Lane::kInvariant);
  row.set(node::reads_contiguous, log2p(contiguous));
  row.set(node::reads_invariant, log2p(invariant));
  row.set(node::reads_strided, log2p(strided));
}

// --- GPU ---

void NodeFeatures::write_gpu(Row row) const {
  if (!hardware_.is_gpu) return;  // the columns are zero
  const double blocks = extent_of(kBlockAnnotations), threads = extent_of(kThreadAnnotations);
  const double warp = std::max(1.0, hardware_.warp_size);
  const double warps = ceiling(threads / warp);
  const auto [shared, local] = kernels_->of(i_);
  const double registers = std::min(hardware_.register_bytes, kOtherRegisterBytes + local);
  double resident = std::min(hardware_.max_blocks, floor_divide(hardware_.max_threads, warps * warp));
  resident = std::min(resident, floor_divide(hardware_.register_file_bytes, warps * warp * registers));
  if (shared > 0.0) resident = std::min(resident, floor_divide(hardware_.shared_bytes, shared));
  row.set(node::threads, log2p(threads));
  row.set(node::vthreads, log2p(extent_of(annotations(Annotation::kVThread))));
  row.set(node::warps, log2p(warps));
  row.set(node::warp_waste, 1.0 - threads / (warps * warp));
  row.set(node::iterations_per_thread, log2p(iterations_ / (blocks * threads)));
  row.set(node::shared_bytes, log2p(shared));
  row.set(node::local_bytes, log2p(local));
  row.set(node::resident_blocks, log2p(resident));
  row.set(node::occupancy, resident * warps * warp / hardware_.max_threads);
}

// --- edges ---

void NodeFeatures::add_edges(std::vector<EdgeSums>& edges) {
  const NestLoop* thread_loop = nullptr;
  for (const NestLoop* loop : loops_) {
    if (loop->annotation == Annotation::kThreadX) thread_loop = loop;
  }
  const Span<double> nowhere(nullptr, 0);
  const Span<double> thread = thread_loop != nullptr ? shift(i_, *thread_loop) : nowhere;
  const Span<double> vector = vector_loop_ != nullptr ? shift(i_, *vector_loop_) : nowhere;
  for (std::size_t k = 0; k < accesses().size(); ++k) {
    const Access& access = accesses()[k];
    const bool attached = nest_->placement(access.producer).compute_at == ComputeAt::kIter;
    const bool has_lane = !loops_.empty();
    const Lane kind = lane_kind(lane_strides_[k]);
    const double flows = attached ? buffer_elements(*nest_, access.producer) : distinct(0, k);
    const double tile = flows * static_cast<double>(access.element_bytes);
    double runs = 1.0;
    for (const std::uint32_t id : nest_->outer(access.producer)) runs *= static_cast<double>(nest_->loop(id).extent);
    EdgeSums sums;
    auto& values = sums.values;
    values[edge::edge_attached] = attached;
    values[edge::edge_tile_bytes] = tile;
    values[edge::edge_flow] = tile * runs;
    values[edge::edge_loads] = access.reads * iterations_;
    values[edge::edge_lane_stride] = lane_strides_[k];
    values[edge::edge_contiguous] = has_lane && kind == Lane::kContiguous;
    values[edge::edge_invariant] = has_lane && kind == Lane::kInvariant;
    values[edge::edge_vector_stride] = vector_loop_ != nullptr ? stride(access, vector) : 0.0;
    values[edge::edge_thread_stride] = thread_loop != nullptr ? stride(access, thread) : 0.0;
    sums.distinct = distinct(0, k);
    sums.group_distinct.fill(1.0);
    for (std::size_t g = 0; g < std::min<std::size_t>(kNumGroups, groups_.size()); ++g) {
      const std::size_t level = groups_[g].level;
      values[edge::edge_group_bytes[g]] = lines(level, k);
      values[edge::edge_group_reuse[g]] = access.reads * iterations_ / outside_[level];
      sums.group_distinct[g] = distinct(level, k);
    }
    for (std::size_t c = 0; c < kNumCaches; ++c) {
      values[edge::edge_traffic[c]] = lines(cache_levels_[c], k) * outside_[cache_levels_[c]];
    }
    edges[access.edge].add(sums);
  }
}

}  // namespace tvm_gnn_cost
