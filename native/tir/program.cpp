#include "tir/program.h"

#include <array>
#include <limits>
#include <string_view>
#include <utility>

namespace tvm_gnn_cost::tir {

namespace {

constexpr int kDeepest = 400;  // statements in one another
constexpr std::size_t kMostLoops = 1 << 16;

constexpr std::array<Annotation, 4> kKinds = {Annotation::kNone, Annotation::kParallel, Annotation::kVectorize,
                                              Annotation::kUnroll};  // by ForKind; the next is bound to a thread
constexpr std::array<std::pair<std::string_view, Annotation>, 10> kThreads = {{
    {"blockIdx.x", Annotation::kBlockX},
    {"blockIdx.y", Annotation::kBlockY},
    {"blockIdx.z", Annotation::kBlockZ},
    {"threadIdx.x", Annotation::kThreadX},
    {"threadIdx.y", Annotation::kThreadY},
    {"threadIdx.z", Annotation::kThreadZ},
    {"vthread", Annotation::kVThread},
    {"vthread.x", Annotation::kVThread},
    {"vthread.y", Annotation::kVThread},
    {"vthread.z", Annotation::kVThread},
}};

constexpr const char* kUnrollPragma = "pragma_auto_unroll_max_step";
constexpr const char* kLayoutRewrite = "meta_schedule.layout_rewrite_preproc";
constexpr std::array<const char*, 6> kNotPostprocessed = {
    "meta_schedule.parallel",          "meta_schedule.vectorize",         "meta_schedule.unroll_explicit",
    "meta_schedule.unroll_implicit",   "meta_schedule.cooperative_fetch", "meta_schedule.auto_tensorize",
};

}  // namespace

void ProgramReader::read(ffi::Address function, Program& program) {
  if (function == nullptr || ffi::type_of(function) != types_.function) throw NotUnderstood("not a PrimFunc");
  program_ = &program;
  program.loops.clear();
  program.blocks.clear();
  program.around.clear();
  program.parents.clear();
  loops_.clear();
  parents_.clear();
  visit(types_.function_body.object(function), 0);
  if (program.blocks.empty()) throw NotUnderstood("the function has no blocks");
}

void ProgramReader::visit(ffi::Address statement, int depth) {
  if (depth > kDeepest) throw NotUnderstood("statements are nested too deeply");
  const std::int32_t type = ffi::type_of(statement);
  if (type == types_.for_loop) return visit_loop(statement, depth);
  if (type == types_.block_realize) return visit_block(statement, depth);
  if (type == types_.sequence) {
    for (const ffi::Value& item : ffi::elements(types_.sequence_items.object(statement))) {
      visit(ffi::address(item), depth + 1);
    }
  } else if (type == types_.if_then_else) {
    visit(types_.then_case.object(statement), depth + 1);
    if (const ffi::Address other = types_.else_case.object(statement)) visit(other, depth + 1);
  } else {
    throw NotUnderstood("there is a statement outside blocks that only Python reads");
  }
}

void ProgramReader::visit_loop(ffi::Address loop, int depth) {
  if (program_->loops.size() >= kMostLoops) throw NotUnderstood("there are too many loops");
  loops_.push_back(static_cast<std::uint32_t>(program_->loops.size()));
  program_->loops.push_back({types_.loop_variable.object(loop), types_.number(types_.loop_extent.object(loop)),
                             annotation(loop), unroll(loop)});
  visit(types_.loop_body.object(loop), depth + 1);
  loops_.pop_back();
}

void ProgramReader::visit_block(ffi::Address realize, int depth) {
  const ffi::Address block = types_.realize_block.object(realize), body = types_.block_body.object(block);
  check_postprocessed(block);
  const bool writes_nothing = ffi::elements(types_.block_writes.object(block)).empty();
  if (writes_nothing && is_annotated(block, kLayoutRewrite)) return;  // the weight comes in its new layout
  check_axes(block);
  const bool is_root = parents_.empty() && loops_.empty() && ffi::elements(types_.block_axes.object(block)).empty() &&
                       writes_nothing;
  if (is_root) return visit(body, depth + 1);
  if (ffi::elements(types_.block_matches.object(block)).empty() && has_blocks(body, depth)) {
    parents_.push_back(realize);
    visit(body, depth + 1);
    parents_.pop_back();
    return;
  }
  Program& program = *program_;
  program.blocks.push_back({realize, block, static_cast<std::uint32_t>(program.around.size()),
                            static_cast<std::uint32_t>(loops_.size()),
                            static_cast<std::uint32_t>(program.parents.size()),
                            static_cast<std::uint32_t>(parents_.size())});
  program.around.insert(program.around.end(), loops_.begin(), loops_.end());
  program.parents.insert(program.parents.end(), parents_.begin(), parents_.end());
}

// In a body without blocks there may be any statement; one that cannot be seen through might have blocks inside.
bool ProgramReader::has_blocks(ffi::Address statement, int depth) const {
  if (depth > kDeepest) throw NotUnderstood("statements are nested too deeply");
  const std::int32_t type = ffi::type_of(statement);
  if (type == types_.block_realize) return true;
  if (type == types_.for_loop) return has_blocks(types_.loop_body.object(statement), depth + 1);
  if (type == types_.sequence) {
    for (const ffi::Value& item : ffi::elements(types_.sequence_items.object(statement))) {
      if (has_blocks(ffi::address(item), depth + 1)) return true;
    }
    return false;
  }
  if (type == types_.if_then_else) {
    const ffi::Address other = types_.else_case.object(statement);
    return has_blocks(types_.then_case.object(statement), depth + 1) ||
           (other != nullptr && has_blocks(other, depth + 1));
  }
  if (type == types_.store || type == types_.evaluate) return false;
  throw NotUnderstood("there is a statement in a block that only Python reads");
}

Annotation ProgramReader::annotation(ffi::Address loop) const {
  const std::int32_t kind = types_.loop_kind.number(loop);
  if (kind >= 0 && static_cast<std::size_t>(kind) < kKinds.size()) return kKinds[static_cast<std::size_t>(kind)];
  const ffi::Address thread = types_.loop_thread.object(loop);
  if (thread != nullptr) {
    const std::string_view tag = ffi::text(types_.axis_thread.value(thread));
    for (const auto& [name, annotation] : kThreads) {
      if (name == tag) return annotation;
    }
  }
  throw NotUnderstood("a loop is bound to what is no thread that is known");
}

std::int32_t ProgramReader::unroll(ffi::Address loop) const {
  const ffi::Address annotations = types_.loop_annotations.object(loop);
  if (library_.map_size(annotations) == 0 || !library_.map_has(annotations, kUnrollPragma)) return 0;
  const ffi::Value value = library_.map_item(annotations, kUnrollPragma);
  std::int64_t steps = -1;
  if (value.type_index == ffi::kInt) {
    steps = value.integer;
  } else if (const ffi::Address number = ffi::address(value); number && ffi::type_of(number) == types_.integer) {
    steps = types_.number(number);
  }
  library_.release(value);
  if (steps < 0 || steps > std::numeric_limits<std::int32_t>::max()) throw NotUnderstood("a pragma is no number");
  return static_cast<std::int32_t>(steps);
}

// An axis that follows one of a block around it, or is as long as that says, is read with the loops: Python's turn.
void ProgramReader::check_axes(ffi::Address block) const {
  for (const ffi::Value& axis : ffi::elements(types_.block_axes.object(block))) {
    const ffi::Address domain = types_.axis_domain.object(ffi::address(axis));
    types_.number(types_.range_min.object(domain));
    types_.number(types_.range_extent.object(domain));
  }
}

bool ProgramReader::is_annotated(ffi::Address block, const char* key) const {
  const ffi::Address annotations = types_.block_annotations.object(block);
  return library_.map_size(annotations) != 0 && library_.map_has(annotations, key);
}

void ProgramReader::check_postprocessed(ffi::Address block) const {
  const ffi::Address annotations = types_.block_annotations.object(block);
  if (library_.map_size(annotations) == 0) return;
  for (const char* const key : kNotPostprocessed) {
    if (library_.map_has(annotations, key)) throw NotUnderstood(std::string("a block is still annotated ") + key);
  }
}

}  // namespace tvm_gnn_cost::tir
