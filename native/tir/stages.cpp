#include "tir/stages.h"

#include <stdexcept>
#include <utility>

namespace tvm_gnn_cost::tir {

namespace {

constexpr std::int64_t kMost = INT32_MAX;

class Table {
 public:
  explicit Table(Span<std::int64_t> values) : values_(values) {}

  std::int64_t take(std::int64_t least, std::int64_t most) {
    if (at_ == values_.size()) refuse();
    const std::int64_t value = values_[at_++];
    if (value < least || value > most) refuse();
    return value;
  }
  std::size_t count() { return static_cast<std::size_t>(take(0, static_cast<std::int64_t>(values_.size()))); }
  std::int64_t any() { return take(INT64_MIN, INT64_MAX); }
  void end() const {
    if (at_ != values_.size()) refuse();
  }
  [[noreturn]] static void refuse() {
    throw std::invalid_argument("the table of blocks does not fit together, or not to the computation");
  }

 private:
  Span<std::int64_t> values_;
  std::size_t at_ = 0;
};

BlockStage take_block(Table& table) {
  BlockStage stage;
  stage.block = static_cast<std::uint32_t>(table.take(0, kMost));
  stage.storage_offset = static_cast<std::int32_t>(table.take(0, kMost));
  stage.exact = table.take(0, 1) != 0;
  const std::size_t variables = table.count(), dimensions = table.count(), reduces = table.count();
  const std::int64_t last = static_cast<std::int64_t>(variables) - 1;
  for (std::size_t v = 0; v < variables; ++v) {
    const std::int64_t extent = table.any(), tile = table.any(), inside = table.take(-1, 11);
    stage.variables.push_back({extent, tile, inside >= 0, static_cast<Annotation>(inside >= 0 ? inside : 0)});
  }
  for (std::size_t d = 0; d < dimensions; ++d) {
    stage.extents.push_back(table.any());
    stage.tiles.push_back(table.any());
    std::vector<Digit>& digits = stage.dimensions.emplace_back();
    for (std::size_t count = table.count(); count > 0; --count) {
      const std::int64_t source = table.take(0, last), divisor = table.take(1, INT64_MAX);
      const std::int64_t extent = table.any(), scale = table.any();
      digits.push_back({source, divisor, extent, scale});
    }
  }
  for (std::size_t r = 0; r < reduces; ++r) stage.reduces.push_back(static_cast<std::uint32_t>(table.take(0, last)));
  return stage;
}

}  // namespace

Stages::Stages(Computation computed, Span<std::int64_t> values) : computation(std::move(computed)) {
  Table table(values);
  for (std::size_t count = table.count(); count > 0; --count) blocks.push_back(take_block(table));
  table.end();
  if (blocks.size() > computation.num_stages()) Table::refuse();
  for (std::size_t i = 0; i < computation.num_stages(); ++i) {
    const StageComputation& stage = computation.stage(i);
    if (stage.runs() != (i >= first())) Table::refuse();
    if (!stage.runs()) continue;
    const BlockStage& block = blocks[i - first()];
    if (stage.num_spatial != block.extents.size() || stage.num_axes != block.extents.size() + block.reduces.size()) {
      Table::refuse();
    }
  }
}

}  // namespace tvm_gnn_cost::tir
