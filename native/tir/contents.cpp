#include "tir/contents.h"

#include <algorithm>
#include <utility>

namespace tvm_gnn_cost::tir {

namespace {

constexpr const char* kAlign = "buffer_dim_align";
constexpr std::int32_t kNone = -1, kIsInit = -2;
constexpr std::int32_t kReduction = 2;  // IterVar::kCommReduce

bool has(const std::vector<ffi::Address>& buffers, ffi::Address buffer) {
  return std::find(buffers.begin(), buffers.end(), buffer) != buffers.end();
}

}  // namespace

Span<Content> ContentReader::read(const Program& program) {
  merge_inits(program);
  written_.clear();
  std::size_t count = 0;
  for (std::size_t i = 0; i < program.blocks.size(); ++i) {
    if (inits_[i] == kIsInit) continue;
    if (contents_.size() == count) contents_.emplace_back();
    Content& content = contents_[count++];
    const ffi::Address block = program.blocks[i].block;
    content.block = static_cast<std::uint32_t>(i);
    content.starts = inits_[i] >= 0 || types_.block_init.object(block) != nullptr;
    content.outputs.clear();
    collect_buffers(types_.block_writes.object(block), content.outputs);
    if (content.outputs.empty()) throw NotUnderstood("a block writes nothing that it names");
    encoder_.start(content.key);
    encoder_.put(std::int64_t{!content.starts && has(written_, content.outputs[0])});  // then it adds to what is there
    put_block(block);
    put_alignment(block);
    for (const ffi::Address buffer : content.outputs) encoder_.put_text(types_.name_of(buffer));
    if (inits_[i] >= 0) put_block(program.blocks[static_cast<std::size_t>(inits_[i])].block);
    content.variables = encoder_.variables();
    written_.insert(written_.end(), content.outputs.begin(), content.outputs.end());
  }
  return {contents_.data(), count};
}

void ContentReader::input_key(ffi::Address buffer, StructureKey& key) {
  encoder_.start(key);
  encoder_.put(buffer);
  encoder_.put_text(types_.name_of(buffer));
}

// The blocks that give others their initial values (`stages._merged_inits`): they wrote the same buffer last, reduce
// over nothing, and nobody has read it since.
void ContentReader::merge_inits(const Program& program) {
  inits_.assign(program.blocks.size(), kNone);
  std::vector<std::pair<ffi::Address, std::int32_t>> writers;
  const auto drop = [&](ffi::Address buffer) {
    const auto is_its = [&](const auto& writer) { return writer.first == buffer; };
    writers.erase(std::remove_if(writers.begin(), writers.end(), is_its), writers.end());
  };
  for (std::size_t i = 0; i < program.blocks.size(); ++i) {
    const ffi::Address block = program.blocks[i].block;
    reads_.clear();
    writes_.clear();
    collect_buffers(types_.block_reads.object(block), reads_);
    collect_buffers(types_.block_writes.object(block), writes_);
    const bool is_reduction = reduces(block);
    if (is_reduction && types_.block_init.object(block) == nullptr) {
      for (const auto& [buffer, before] : writers) {
        if (!has(writes_, buffer) || inits_[static_cast<std::size_t>(before)] == kIsInit) continue;
        if (inits_[i] >= 0) throw NotUnderstood("several blocks give a reduction its initial values");
        inits_[i] = before;
        inits_[static_cast<std::size_t>(before)] = kIsInit;
      }
    }
    for (const ffi::Address buffer : reads_) {
      if (!has(writes_, buffer)) drop(buffer);
    }
    for (const ffi::Address buffer : writes_) {
      drop(buffer);
      if (!is_reduction) writers.emplace_back(buffer, static_cast<std::int32_t>(i));
    }
  }
}

void ContentReader::put_block(ffi::Address block) {
  encoder_.put(types_.block_name.value(block));
  for (const ffi::Field& field : {types_.block_axes, types_.block_reads, types_.block_writes, types_.block_matches,
                                  types_.block_init, types_.block_body}) {
    encoder_.put(field.object(block));
  }
}

void ContentReader::put_alignment(ffi::Address block) {
  const ffi::Address annotations = types_.block_annotations.object(block);
  if (library_.map_size(annotations) == 0 || !library_.map_has(annotations, kAlign)) return encoder_.put(kNone);
  const ffi::Value align = library_.map_item(annotations, kAlign);
  try {
    encoder_.put(align);
  } catch (...) {
    library_.release(align);
    throw;
  }
  library_.release(align);
}

void ContentReader::collect_buffers(ffi::Address regions, std::vector<ffi::Address>& out) const {
  for (const ffi::Value& region : ffi::elements(regions)) {
    const ffi::Address buffer = types_.region_buffer.object(ffi::address(region));
    if (!has(out, buffer)) out.push_back(buffer);
  }
}

bool ContentReader::reduces(ffi::Address block) const {
  for (const ffi::Value& axis : ffi::elements(types_.block_axes.object(block))) {
    if (types_.axis_kind.number(ffi::address(axis)) == kReduction) return true;
  }
  return false;
}

}  // namespace tvm_gnn_cost::tir
