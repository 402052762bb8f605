#include "tir/nests.h"

#include <algorithm>
#include <cstdlib>

#include "graphs/arithmetic.h"

namespace tvm_gnn_cost::tir {

namespace {

constexpr std::uint32_t kNobody = ~0u;

// The number of loop k in a body: no loop around a block has it.
std::int64_t inside_number(std::size_t k) { return -1 - static_cast<std::int64_t>(k); }

}  // namespace

void NestReader::read(const Program& program, const Stages& stages, LoopNest& nest) {
  for (const BlockStage& stage : stages.blocks) {
    if (stage.block >= program.blocks.size()) throw NotUnderstood("another number of blocks than was registered");
  }
  find_owners(program, stages);
  place(program, stages);
  nest.start(stages.computation, {placements_.data(), placements_.size()}, {loop_ptr_.data(), loop_ptr_.size()});
  for (std::size_t number = stages.blocks.size(); number-- > 0;) {
    const BlockStage& stage = stages.blocks[number];
    read_values(program, program.blocks[stage.block]);
    find_parts(stage);
    add_loops(program, stage, static_cast<std::uint32_t>(number), nest.part_pool());
    nest.add_loops(static_cast<std::int32_t>(stages.first() + number), {loops_.data(), loops_.size()});
  }
}

void NestReader::find_owners(const Program& program, const Stages& stages) {
  owners_.assign(program.loops.size(), kNobody);
  indices_.assign(program.loops.size(), 0);
  for (std::size_t number = 0; number < stages.blocks.size(); ++number) {
    for (const std::uint32_t loop : program.loops_of(program.blocks[stages.blocks[number].block])) {
      owners_[loop] = static_cast<std::uint32_t>(number);
    }
  }
}

void NestReader::place(const Program& program, const Stages& stages) {
  const std::size_t first = stages.first();
  placements_.assign(first, Placement{ComputeAt::kRoot, -1, -1, 0, 0});
  loop_ptr_.assign(first + 1, 0);
  for (std::size_t number = 0; number < stages.blocks.size(); ++number) {
    const BlockStage& stage = stages.blocks[number];
    std::uint32_t count = 0;
    for (const std::uint32_t loop : program.loops_of(program.blocks[stage.block])) {
      if (owners_[loop] == number) indices_[loop] = count++;
    }
    const auto is_tiled = [](std::int64_t tile) { return tile > 1; };
    count += static_cast<std::uint32_t>(std::count_if(stage.tiles.begin(), stage.tiles.end(), is_tiled));
    for (const Variable& variable : stage.variables) count += variable.is_inside ? 1 : 0;
    for (const std::uint32_t v : stage.reduces) count += stage.variables[v].tile > 1 ? 1 : 0;
    loop_ptr_.push_back(loop_ptr_.back() + count);
  }
  for (std::size_t number = 0; number < stages.blocks.size(); ++number) {
    const BlockStage& stage = stages.blocks[number];
    Placement placement{ComputeAt::kRoot, -1, -1, 0, stage.storage_offset};
    for (const std::uint32_t loop : program.loops_of(program.blocks[stage.block])) {
      if (owners_[loop] == number) {
        placement.auto_unroll_max_step = std::max(placement.auto_unroll_max_step, program.loops[loop].unroll);
      } else {
        placement.compute_at = ComputeAt::kIter;
        placement.attach_stage = static_cast<std::int32_t>(first + owners_[loop]);
        placement.attach_loop = static_cast<std::int32_t>(indices_[loop]);
      }
    }
    placements_.push_back(placement);
  }
}

// What each axis of a block is of the loops around it (by their numbers), and what its predicates limit.
void NestReader::read_values(const Program& program, const Block& block) {
  values_.clear();
  limits_.clear();
  for (const std::uint32_t loop : program.loops_of(block)) {
    values_.set(program.loops[loop].variable, Index::of(loop, program.loops[loop].extent));
  }
  const auto read = [&](ffi::Address realize) {
    axes_.clear();
    add_limits(types_, types_.realize_predicate.object(realize), values_, limits_);
    const Span<ffi::Value> axes = ffi::elements(types_.block_axes.object(types_.realize_block.object(realize)));
    const Span<ffi::Value> bound = ffi::elements(types_.realize_values.object(realize));
    if (axes.size() != bound.size()) throw NotUnderstood("a block has another number of axes than of values");
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const ffi::Address domain = types_.axis_domain.object(ffi::address(axes[i]));
      const std::int64_t extent = types_.number(types_.range_extent.object(domain));
      axes_.push_back(within(index_of(types_, ffi::address(bound[i]), values_, limits_), extent, limits_));
    }
    for (std::size_t i = 0; i < axes.size(); ++i) {
      values_.set(types_.axis_variable.object(ffi::address(axes[i])), axes_[i]);
    }
  };
  for (const ffi::Address parent : program.parents_of(block)) read(parent);
  read(block.realize);
}

void NestReader::find_parts(const BlockStage& stage) {
  places_.clear();
  inexact_.clear();
  std::size_t inside = 0;
  for (const Variable& variable : stage.variables) {
    if (variable.is_inside) axes_.push_back(Index::of(inside_number(inside++), variable.extent));
  }
  if (axes_.size() != stage.variables.size()) throw NotUnderstood("a block has other variables than were registered");
  for (std::size_t axis = 0; axis < stage.dimensions.size(); ++axis) {
    const Index index = composed(stage.dimensions[axis], axes_, stage.variables, limits_);
    move(static_cast<std::uint32_t>(axis), within(index, stage.extents[axis], limits_), stage.exact);
  }
  for (std::size_t r = 0; r < stage.reduces.size(); ++r) {
    const std::uint32_t v = stage.reduces[r];
    move(static_cast<std::uint32_t>(stage.extents.size() + r), scaled(axes_[v], stage.variables[v].tile), stage.exact);
  }
}

void NestReader::move(std::uint32_t axis, const Index& index, bool exact) {
  for (const Digit& digit : index.digits) {
    const std::int64_t stride = digit.scale < 0 ? multiply(-1, digit.scale) : digit.scale;
    places_.push_back({digit.source, digit.divisor, {axis, digit.extent, stride}});
    if (!index.exact || !exact) inexact_.push_back(digit.source);
  }
}

void NestReader::add_loops(const Program& program, const BlockStage& stage, std::uint32_t number, PartPool& pool) {
  loops_.clear();
  for (const std::uint32_t loop : program.loops_of(program.blocks[stage.block])) {
    if (owners_[loop] != number) continue;
    add_loop(stage, loop, program.loops[loop].extent, program.loops[loop].annotation, pool);
  }
  std::size_t inside = 0;
  for (const Variable& variable : stage.variables) {
    if (variable.is_inside) add_loop(stage, inside_number(inside++), variable.extent, variable.inside, pool);
  }
  const auto add_tile = [&](std::size_t axis, std::int64_t tile) {
    if (tile <= 1) return;
    const std::uint32_t begin = pool.size();
    pool.push({static_cast<std::uint32_t>(axis), tile, 1});
    const LoopKind kind = axis < stage.extents.size() ? LoopKind::kSpatial : LoopKind::kReduction;
    loops_.push_back({0, 0, tile, kind, Annotation::kTensorize, {begin, pool.size()}, true});
  };
  for (std::size_t axis = 0; axis < stage.tiles.size(); ++axis) add_tile(axis, stage.tiles[axis]);
  for (std::size_t r = 0; r < stage.reduces.size(); ++r) {
    add_tile(stage.extents.size() + r, stage.variables[stage.reduces[r]].tile);
  }
}

void NestReader::add_loop(const BlockStage& stage, std::int64_t source, std::int64_t extent, Annotation annotation,
                          PartPool& pool) {
  of_loop_.clear();
  for (const Place& place : places_) {
    if (place.source == source) of_loop_.push_back(place);
  }
  std::stable_sort(of_loop_.begin(), of_loop_.end(),
                   [](const Place& a, const Place& b) { return a.divisor > b.divisor; });
  const std::uint32_t begin = pool.size();
  bool spatial = false, reduction = false;
  for (const Place& place : of_loop_) {
    pool.push(place.part);
    (place.part.axis < stage.extents.size() ? spatial : reduction) = true;
  }
  const LoopKind kind = !reduction ? LoopKind::kSpatial : spatial ? LoopKind::kMixed : LoopKind::kReduction;
  const bool exact = std::find(inexact_.begin(), inexact_.end(), source) == inexact_.end();
  loops_.push_back({0, 0, extent, kind, annotation, {begin, pool.size()}, exact});  // the nest knows stage and index
}

}  // namespace tvm_gnn_cost::tir
