#include "ansor/schedule.h"

#include <functional>

namespace tvm_gnn_cost {

namespace {

std::size_t combine(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2));
}

// Appends a step whose values begin at `first_value` and end where the values now end.
void push_step(Schedule& out, StepKind kind, std::int32_t stage_id, std::int32_t index, bool inner_to_outer,
               std::size_t first_value) {
  out.steps.push_back({kind, stage_id, index, inner_to_outer, static_cast<std::uint32_t>(first_value),
                       static_cast<std::uint32_t>(out.values_storage.size() - first_value)});
}

// A product that is unknown once a factor is (a tile size not yet filled in).
std::int64_t times(std::int64_t product, std::int64_t factor) {
  return product == kUnknownExtent || factor == kUnknownExtent ? kUnknownExtent : product * factor;
}

}  // namespace

std::size_t OpIdentityHash::operator()(const OpIdentity& op) const {
  std::size_t seed = combine(std::hash<std::string>()(op.name), op.is_placeholder ? 1 : 0);
  for (const std::int64_t extent : op.axis_extents) seed = combine(seed, static_cast<std::size_t>(extent));
  for (const std::int64_t extent : op.reduce_extents) seed = combine(seed, ~static_cast<std::size_t>(extent));
  return seed;
}

std::int32_t OpTable::id(const OpIdentity& op) {
  const auto [entry, is_new] = ids_.try_emplace(op, static_cast<std::int32_t>(ops_.size()));
  if (is_new) ops_.push_back(op);
  return entry->second;
}

void ScheduleReader::read(Address state, Schedule& out) {
  out.clear();
  const Layout& at = memory_.layout();
  const ArrayView stages(memory_, state, at.state_stages, Limits::kStages, "State.stages");
  for (std::int64_t i = 0; i < stages.size(); ++i) read_stage(stages.object(memory_, i, TypeId::kStage), out);
  read_attach_map(memory_.object(state, at.state_attach_map, TypeId::kAttachMap, "State.attach_map"), out);
  const ArrayView steps(memory_, state, at.state_steps, Limits::kSteps, "State.transform_steps");
  for (std::int64_t i = 0; i < steps.size(); ++i) read_step(steps, i, out);
}

void ScheduleReader::read_stage(Address stage, Schedule& out) {
  const Layout& at = memory_.layout();
  const Address op = Memory::reference(stage, at.stage_op, "Stage.op");
  if (op == nullptr) throw LayoutError("Stage.op: null");
  const std::int32_t id = op_id(op);
  const bool is_compute = Memory::bounded(stage, at.stage_op_type, 2, "Stage.op_type") == 1;
  if (is_compute == op_table_.ops()[id].is_placeholder) throw LayoutError("Stage.op_type: not that of Stage.op");

  const ArrayView iters(memory_, stage, at.stage_iters, Limits::kLoops, "Stage.iters");
  out.ops.push_back(id);
  out.placements.push_back({
      static_cast<ComputeAt>(Memory::bounded(stage, at.stage_compute_at, 3, "Stage.compute_at")),
      -1,
      -1,
      Memory::load<std::int32_t>(stage, at.stage_auto_unroll_max_step),
      Memory::load<std::int32_t>(stage, at.stage_storage_offset),
  });
  for (std::int64_t i = 0; i < iters.size(); ++i) {
    const Address iter = iters.object(memory_, i, TypeId::kIterator);
    out.loops_storage.push_back({
        range_extent(Memory::reference(iter, at.iterator_range, "Iterator.range"), kUndefinedExtent, "Iterator.range"),
        static_cast<LoopKind>(Memory::bounded(iter, at.iterator_kind, 4, "Iterator.iter_kind")),
        static_cast<Annotation>(Memory::bounded(iter, at.iterator_annotation, 12, "Iterator.annotation")),
    });
  }
  out.loop_ptr.push_back(static_cast<std::uint32_t>(out.loops_storage.size()));
}

void ScheduleReader::read_attach_map(Address attach_map, Schedule& out) const {
  const Layout& at = memory_.layout();
  const auto count = Memory::load<std::uint64_t>(attach_map, at.attach_count);
  if (count > out.num_stages()) throw LayoutError("AttachMap: " + std::to_string(count) + " attached stages");
  const auto num_stages = static_cast<std::int32_t>(out.num_stages());
  Address node = Memory::reference(attach_map, at.attach_first_node, "AttachMap.stage_to_attach_iter");
  for (std::uint64_t i = 0; i < count; ++i) {
    if (node == nullptr) throw LayoutError("AttachMap.stage_to_attach_iter: fewer nodes than counted");
    const std::int32_t stage_id = Memory::bounded(node, at.attach_node_key, num_stages, "AttachMap stage");
    const std::int32_t target = Memory::bounded(node, at.attach_node_stage, num_stages, "AttachMap target stage");
    const std::int32_t loop = Memory::bounded(node, at.attach_node_loop, Limits::kLoops, "AttachMap target loop");
    Placement& placement = out.placements[stage_id];
    if (placement.compute_at == ComputeAt::kIter) {
      placement.attach_stage = target;
      placement.attach_loop = loop;
    }
    node = Memory::reference(node, 0, "AttachMap.stage_to_attach_iter");
  }
  if (node != nullptr) throw LayoutError("AttachMap.stage_to_attach_iter: more nodes than counted");
}

void ScheduleReader::read_step(const ArrayView& steps, std::int64_t index, Schedule& out) const {
  const Layout& at = memory_.layout();
  const Address step = steps[index];
  if (step == nullptr) throw LayoutError("State.transform_steps: null");
  const TypeId type = memory_.known_type(step, "State.transform_steps");
  const std::int32_t stage_id = Memory::bounded(step, at.step_stage_id, Limits::kStages, "Step.stage_id");
  const std::size_t first_value = out.values_storage.size();
  switch (type) {
    case TypeId::kSplitStep:
      return read_split(step, out);
    case TypeId::kFollowSplitStep:
      return read_follow_split(steps, step, out);
    case TypeId::kFollowFusedSplitStep:
      return read_follow_fused_split(steps, step, out);
    case TypeId::kFuseStep:
      append_integers(step, at.fuse_ids, "FuseStep.fused_ids", out);
      return push_step(out, StepKind::kFuse, stage_id, 0, true, first_value);
    case TypeId::kReorderStep:
      append_integers(step, at.reorder_ids, "ReorderStep.after_ids", out);
      return push_step(out, StepKind::kReorder, stage_id, 0, true, first_value);
    case TypeId::kCacheReadStep:
      append_integers(step, at.cache_read_readers, "CacheReadStep.reader_stage_ids", out);
      return push_step(out, StepKind::kInsert, stage_id, 1, true, first_value);
    case TypeId::kCacheWriteStep:
      return push_step(out, StepKind::kInsert, stage_id, 0, true, first_value);
    case TypeId::kRfactorStep:
      out.values_storage.push_back(Memory::bounded(step, at.step_iter_id, Limits::kLoops, "RfactorStep.iter_id"));
      out.values_storage.push_back(
          Memory::bounded(step, at.rfactor_factor_iter_id, Limits::kLoops, "RfactorStep.factor_iter_id"));
      return push_step(out, StepKind::kInsert, stage_id, 0, true, first_value);
    case TypeId::kAnnotationStep:
    case TypeId::kPragmaStep:
    case TypeId::kComputeAtStep:
    case TypeId::kComputeInlineStep:
    case TypeId::kComputeRootStep:
    case TypeId::kStorageAlignStep:
      return;  // what they do shows in the stages
    default:
      throw LayoutError(std::string("State.transform_steps: found ") + kTypeKeys[static_cast<std::size_t>(type)]);
  }
}

void ScheduleReader::read_split(Address step, Schedule& out) const {
  const Layout& at = memory_.layout();
  const std::size_t first_value = out.values_storage.size();
  const ArrayView lengths(memory_, step, at.split_lengths, Limits::kValues, "SplitStep.lengths");
  for (std::int64_t i = 0; i < lengths.size(); ++i) {
    out.values_storage.push_back(memory_.constant(lengths[i], kUnknownExtent));
  }
  push_step(out, StepKind::kSplit, Memory::load<std::int32_t>(step, at.step_stage_id),
            Memory::bounded(step, at.step_iter_id, Limits::kLoops, "SplitStep.iter_id"),
            Memory::boolean(step, at.split_inner_to_outer, "SplitStep.inner_to_outer"), first_value);
}

// The factors of the split that a later step follows.
ArrayView ScheduleReader::split_lengths(const ArrayView& steps, std::int64_t source) const {
  if (source < 0 || source >= steps.size()) throw LayoutError("followed step: no such step");
  return {memory_, steps.object(memory_, source, TypeId::kSplitStep), memory_.layout().split_lengths, Limits::kValues,
          "SplitStep.lengths"};
}

// As FollowSplitStepNode::ExtractSplitLengths: the first n_split - 1 factors, and the product of the others.
void ScheduleReader::read_follow_split(const ArrayView& steps, Address step, Schedule& out) const {
  const Layout& at = memory_.layout();
  const std::size_t first_value = out.values_storage.size();
  const ArrayView lengths = split_lengths(steps, Memory::load<std::int32_t>(step, at.follow_split_source));
  const char* const where = "FollowSplitStep.n_split";
  const std::int32_t n_split = Memory::bounded(step, at.follow_split_n_split, Limits::kLoops, where);
  if (n_split < 1 || n_split > lengths.size() + 1) {
    throw LayoutError(std::string(where) + ": " + std::to_string(n_split));
  }
  std::int64_t rest = 1;
  for (std::int64_t i = 0; i < lengths.size(); ++i) {
    const std::int64_t factor = memory_.constant(lengths[i], kUnknownExtent);
    if (i < n_split - 1) {
      out.values_storage.push_back(factor);
    } else {
      rest = times(rest, factor);
    }
  }
  out.values_storage.push_back(rest);
  push_step(out, StepKind::kSplit, Memory::load<std::int32_t>(step, at.step_stage_id),
            Memory::bounded(step, at.step_iter_id, Limits::kLoops, "FollowSplitStep.iter_id"), true, first_value);
}

// As FollowFusedSplitStepNode::ExtractSplitLength: the product of the sources' factors at one level.
void ScheduleReader::read_follow_fused_split(const ArrayView& steps, Address step, Schedule& out) const {
  const Layout& at = memory_.layout();
  const std::size_t first_value = out.values_storage.size();
  const ArrayView sources(memory_, step, at.follow_fused_split_sources, Limits::kValues,
                          "FollowFusedSplitStep.src_step_ids");
  const std::int32_t level =
      Memory::bounded(step, at.follow_fused_split_level, Limits::kLoops, "FollowFusedSplitStep.level");
  std::int64_t factor = 1;
  for (std::int64_t i = 0; i < sources.size(); ++i) {
    const Address source = sources.object(memory_, i, TypeId::kIntImm);
    const ArrayView lengths = split_lengths(steps, memory_.constant(source, -1));
    if (level >= lengths.size()) throw LayoutError("FollowFusedSplitStep.level: " + std::to_string(level));
    factor = times(factor, memory_.constant(lengths[level], kUnknownExtent));
  }
  out.values_storage.push_back(factor);
  push_step(out, StepKind::kSplit, Memory::load<std::int32_t>(step, at.step_stage_id),
            Memory::bounded(step, at.step_iter_id, Limits::kLoops, "FollowFusedSplitStep.iter_id"),
            Memory::boolean(step, at.follow_fused_split_by_factor, "FollowFusedSplitStep.factor_or_nparts"),
            first_value);
}

void ScheduleReader::append_integers(Address step, std::int32_t offset, const char* where, Schedule& out) const {
  const ArrayView array(memory_, step, offset, Limits::kValues, where);
  for (std::int64_t i = 0; i < array.size(); ++i) {
    out.values_storage.push_back(memory_.constant(array.object(memory_, i, TypeId::kIntImm), kUnknownExtent));
  }
}

std::int32_t ScheduleReader::op_id(Address op) {
  // States share most operations, so the address is nearly always known.
  const auto known = op_by_address_.find(op);
  if (known != op_by_address_.end()) return known->second;

  const Layout& at = memory_.layout();
  const TypeId type = memory_.known_type(op, "Stage.op");
  if (type != TypeId::kComputeOp && type != TypeId::kPlaceholderOp) {
    throw LayoutError(std::string("Stage.op: found ") + kTypeKeys[static_cast<std::size_t>(type)]);
  }
  scratch_.name = Memory::string(op, at.operation_name, "Operation.name");
  scratch_.is_placeholder = type == TypeId::kPlaceholderOp;
  scratch_.axis_extents.clear();
  scratch_.reduce_extents.clear();
  if (scratch_.is_placeholder) {
    const ArrayView shape(memory_, op, at.placeholder_op_shape, Limits::kLoops, "PlaceholderOp.shape");
    for (std::int64_t i = 0; i < shape.size(); ++i) {
      scratch_.axis_extents.push_back(memory_.constant(shape[i], kUnknownExtent));
    }
  } else {
    append_axis_extents(op, at.compute_op_axis, scratch_.axis_extents);
    append_axis_extents(op, at.compute_op_reduce_axis, scratch_.reduce_extents);
  }
  return op_by_address_[op] = op_table_.id(scratch_);
}

void ScheduleReader::append_axis_extents(Address op, std::int32_t offset, std::vector<std::int64_t>& out) const {
  const ArrayView axes(memory_, op, offset, Limits::kLoops, "ComputeOp.axis");
  for (std::int64_t i = 0; i < axes.size(); ++i) {
    const Address axis = axes.object(memory_, i, TypeId::kIterVar);
    const Address domain = Memory::reference(axis, memory_.layout().iter_var_dom, "IterVar.dom");
    out.push_back(range_extent(domain, kUnknownExtent, "IterVar.dom"));
  }
}

std::int64_t ScheduleReader::range_extent(Address range, std::int64_t if_null, const char* where) const {
  if (range == nullptr) return if_null;
  memory_.expect(range, TypeId::kRange, where);
  return memory_.constant(Memory::reference(range, memory_.layout().range_extent, "Range.extent"), kUnknownExtent);
}

std::vector<Address> state_addresses(std::uintptr_t array, const TypeTable& types, const Layout& layout,
                                     NoState no_state) {
  if (array == 0 || array % 8 != 0) throw LayoutError("Array<State>: no pointer");
  const Memory memory(types, layout);
  const ArrayView states(memory, reinterpret_cast<Address>(array), Limits::kStates, "Array<State>");
  std::vector<Address> addresses;
  addresses.reserve(static_cast<std::size_t>(states.size()));
  for (std::int64_t i = 0; i < states.size(); ++i) {
    const Address state = states[i];
    const bool is_state = state != nullptr && memory.type(state) == TypeId::kState;
    if (!is_state && no_state == NoState::kRaise) states.object(memory, i, TypeId::kState);  // names what is wrong
    addresses.push_back(is_state ? state : nullptr);
  }
  return addresses;
}

}  // namespace tvm_gnn_cost
