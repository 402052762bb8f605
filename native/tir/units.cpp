#include "tir/units.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "graphs/arithmetic.h"
#include "graphs/schema.h"

namespace tvm_gnn_cost::tir {

namespace {

constexpr std::size_t kStageColumns = 6, kAccessColumns = 7;
constexpr std::uint32_t kItself = ~0u;  // a producer: the stage reads what it makes

[[noreturn]] void refuse() { throw std::invalid_argument("the tables of a program do not fit together"); }

template <typename T>
std::vector<T> slice(Span<T> values, std::size_t begin, std::size_t count) {
  if (begin > values.size() || count > values.size() - begin) refuse();
  return {values.begin() + begin, values.begin() + begin + count};
}

template <typename T>
void append(std::vector<T>& out, const std::vector<T>& more) {
  out.insert(out.end(), more.begin(), more.end());
}

// Cuts the tables of a computation into those of its stages, from the first to the last.
class TableCutter {
 public:
  explicit TableCutter(const ComputationTables& tables) : tables_(tables) {}

  // `producer_of` gives the number that a unit has for a stage.
  template <typename ProducerOf>
  void cut(Unit& unit, const ProducerOf& producer_of) {
    const std::size_t i = stage_++;
    unit.row = slice(tables_.stages, i * kStageColumns, kStageColumns);
    const auto outputs = static_cast<std::size_t>(unit.row[3]);
    const auto axes = static_cast<std::size_t>(unit.row[4]) + static_cast<std::size_t>(unit.row[5]);
    unit.output_bytes = slice(tables_.output_bytes, output_, outputs);
    unit.axis_extents = slice(tables_.axis_extents, axis_, axes);
    output_ += outputs;
    axis_ += axes;
    unit.flop = slice(tables_.flop, i, 1)[0];
    unit.static_node = slice(tables_.static_nodes, i * kStaticNodeFeatures, kStaticNodeFeatures);
    const std::size_t first_edge = edge_;
    for (; 2 * edge_ + 1 < tables_.edges.size() && is(tables_.edges[2 * edge_ + 1], i); ++edge_) {
      unit.edges.push_back(producer_of(tables_.edges[2 * edge_]));
      append(unit.static_edges, slice(tables_.static_edges, edge_ * kStaticEdgeFeatures, kStaticEdgeFeatures));
    }
    for (; access_ < tables_.reads.size() && is(slice(tables_.accesses, access_ * kAccessColumns, 1)[0], i); ++access_) {
      std::vector<std::int64_t> row = slice(tables_.accesses, access_ * kAccessColumns, kAccessColumns);
      const auto dimensions = static_cast<std::size_t>(row[4]);
      row[1] = producer_of(row[1]);
      row[2] -= static_cast<std::int64_t>(first_edge);
      append(unit.accesses, row);
      unit.reads.push_back(tables_.reads[access_]);
      append(unit.dimensions, slice(tables_.dimensions, 2 * dimension_, 2 * dimensions));
      append(unit.coefficients, slice(tables_.coefficients, coefficient_, dimensions * axes));
      dimension_ += dimensions;
      coefficient_ += dimensions * axes;
    }
  }

 private:
  static bool is(std::int64_t value, std::size_t stage) { return value == static_cast<std::int64_t>(stage); }

  const ComputationTables& tables_;
  std::size_t stage_ = 0, output_ = 0, axis_ = 0, edge_ = 0, access_ = 0, dimension_ = 0, coefficient_ = 0;
};

}  // namespace

void Units::add(const Program& program, ContentReader& reader, const ProgramTables& tables) {
  Stages stages(Computation(tables.computation), tables.blocks);  // holds them to one another
  const std::size_t num_inputs = stages.first();
  const Span<Content> contents = reader.read(program);
  if (tables.inputs.size() != num_inputs || contents.size() != stages.blocks.size() ||
      tables.lookup_counts.size() != contents.size() || tables.found.size() != 2 * tables.looked_up.size()) {
    refuse();
  }
  TableCutter cutter(tables.computation);
  std::vector<std::pair<StructureKey, Unit>> found;
  for (std::size_t i = 0; i < num_inputs; ++i) {
    StructureKey key;
    reader.input_key(reinterpret_cast<ffi::Address>(tables.inputs[i]), key);
    found.emplace_back(std::move(key), Unit{});
    cutter.cut(found.back().second, [](std::int64_t) -> std::int64_t { refuse(); });
  }
  std::size_t lookup = 0;
  for (std::size_t k = 0; k < contents.size(); ++k) {
    const Content& content = contents[k];
    if (stages.blocks[k].block != content.block) throw NotUnderstood("other blocks are stages than Python found");
    Unit unit{};
    unit.stage = stages.blocks[k];
    const auto own = static_cast<std::int64_t>(num_inputs + k);
    std::vector<std::int64_t> producers;
    const auto producer_of = [&](std::int64_t stage) -> std::int64_t {
      const auto known = std::find(producers.begin(), producers.end(), stage);
      if (known == producers.end()) refuse();
      return known - producers.begin();
    };
    const std::int64_t count = tables.lookup_counts[k];
    if (count < 0 || static_cast<std::uint64_t>(count) > tables.looked_up.size() - lookup) refuse();
    for (std::int64_t n = 0; n < count; ++n, ++lookup) {
      const auto buffer = reinterpret_cast<ffi::Address>(tables.looked_up[lookup]);
      const auto variable = std::find(content.variables.begin(), content.variables.end(), buffer);
      if (variable == content.variables.end()) throw NotUnderstood("a block reads a buffer that it does not name");
      const std::int64_t stage = tables.found[2 * lookup], output = tables.found[2 * lookup + 1];
      if (stage < 0 || stage > own || output < 0 || output > INT32_MAX) refuse();
      if (stage != own && std::find(producers.begin(), producers.end(), stage) == producers.end()) {
        producers.push_back(stage);
      }
      unit.lookups.push_back({static_cast<std::uint32_t>(variable - content.variables.begin()),
                              stage == own ? kItself : static_cast<std::uint32_t>(producer_of(stage)),
                              static_cast<std::uint32_t>(output)});
    }
    unit.num_producers = static_cast<std::uint32_t>(producers.size());
    cutter.cut(unit, producer_of);
    found.emplace_back(content.key, std::move(unit));
  }
  for (auto& [key, unit] : found) {
    unit.id = static_cast<std::int64_t>(units_.size());
    units_.try_emplace(std::move(key), std::move(unit));
  }
}

const Stages* Composer::compose(Span<Content> contents, ContentReader& reader, const StructureKey*& missing) {
  missing = resolve(contents, reader);
  if (missing != nullptr) return nullptr;
  key_.clear();
  for (const Unit* const unit : used_) key_.push_back(unit->id);
  key_.push_back(-1);
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    key_.push_back(blocks_[k]->id);
    key_.push_back(contents[k].block);
  }
  key_.insert(key_.end(), producers_.begin(), producers_.end());
  std::unique_ptr<Stages>& known = known_[key_];
  if (known == nullptr) known = make(contents);
  return known.get();
}

// Who makes what each block reads. Returns the key of what is not known, or null.
const StructureKey* Composer::resolve(Span<Content> contents, ContentReader& reader) {
  writers_.clear();
  inputs_.clear();
  used_.clear();
  blocks_.clear();
  producers_.clear();
  for (std::size_t k = 0; k < contents.size(); ++k) {
    const Unit* const unit = units_.find(contents[k].key);
    if (unit == nullptr) return &contents[k].key;
    blocks_.push_back(unit);
    if (!resolve_unit(contents[k], *unit, static_cast<std::int64_t>(k), reader)) return &input_key_;
  }
  return nullptr;
}

bool Composer::resolve_unit(const Content& content, const Unit& unit, std::int64_t number, ContentReader& reader) {
  constexpr std::int64_t kNobody = INT64_MIN;
  const std::size_t first = producers_.size();
  producers_.resize(first + unit.num_producers, kNobody);
  if (content.starts) write(content, number);
  for (const Unit::Lookup& lookup : unit.lookups) {
    const Source source = source_of(content.variables[lookup.variable]);
    if (source.stage < 0 && static_cast<std::size_t>(-source.stage) > used_.size()) {
      reader.input_key(source.buffer, input_key_);
      const Unit* const input = units_.find(input_key_);
      if (input == nullptr) return false;
      used_.push_back(input);
    }
    const bool is_itself = source.stage == number;
    const bool is_known = is_itself || lookup.producer == kItself ||
                          (producers_[first + lookup.producer] != kNobody &&
                           producers_[first + lookup.producer] != source.stage);
    if (source.output != lookup.output || (is_known && !(is_itself && lookup.producer == kItself))) {
      throw NotUnderstood("blocks are connected otherwise than those that were read first");
    }
    if (!is_itself) producers_[first + lookup.producer] = source.stage;
  }
  for (std::size_t a = first; a < producers_.size(); ++a) {
    if (std::find(producers_.begin() + static_cast<std::ptrdiff_t>(first),
                  producers_.begin() + static_cast<std::ptrdiff_t>(a),
                  producers_[a]) != producers_.begin() + static_cast<std::ptrdiff_t>(a)) {
      throw NotUnderstood("blocks are connected otherwise than those that were read first");
    }
  }
  if (!content.starts) write(content, number);
  return true;
}

// What was written to a buffer last, or what was there before all.
Composer::Source Composer::source_of(ffi::Address buffer) {
  for (std::size_t i = writers_.size(); i-- > 0;) {
    if (writers_[i].buffer == buffer) return writers_[i];
  }
  const auto known = std::find(inputs_.begin(), inputs_.end(), buffer);
  const std::int64_t place = known - inputs_.begin();
  if (known == inputs_.end()) inputs_.push_back(buffer);
  return {buffer, -1 - place, 0};
}

void Composer::write(const Content& content, std::int64_t number) {
  for (std::size_t output = 0; output < content.outputs.size(); ++output) {
    writers_.push_back({content.outputs[output], number, static_cast<std::uint32_t>(output)});
  }
}

std::unique_ptr<Stages> Composer::make(Span<Content> contents) const {
  const auto num_inputs = static_cast<std::int64_t>(used_.size());
  std::vector<std::int64_t> stages, output_bytes, axis_extents, edges, accesses;
  std::vector<double> flop, reads, dimensions, coefficients;
  std::vector<float> static_nodes, static_edges;
  const auto put = [&](const Unit& unit) {
    append(stages, unit.row);
    append(output_bytes, unit.output_bytes);
    append(axis_extents, unit.axis_extents);
    append(reads, unit.reads);
    append(dimensions, unit.dimensions);
    append(coefficients, unit.coefficients);
    append(static_nodes, unit.static_node);
    flop.push_back(unit.flop);
  };
  for (const Unit* const input : used_) put(*input);
  const std::int64_t* producer = producers_.data();
  std::vector<double> consumers(used_.size() + blocks_.size(), 0.0);
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    const Unit& unit = *blocks_[k];
    put(unit);
    const auto number = num_inputs + static_cast<std::int64_t>(k);
    const auto stage_of = [&](std::int64_t place) {
      const std::int64_t stage = producer[place];
      return stage < 0 ? -1 - stage : num_inputs + stage;
    };
    const auto first_edge = static_cast<std::int64_t>(edges.size() / 2);
    for (std::size_t e = 0; e < unit.edges.size(); ++e) {
      const std::int64_t from = stage_of(unit.edges[e]);
      edges.insert(edges.end(), {from, number});
      consumers[static_cast<std::size_t>(from)] += 1.0;
      const auto row = unit.static_edges.begin() + static_cast<std::ptrdiff_t>(e * kStaticEdgeFeatures);
      static_edges.insert(static_edges.end(), row, row + kStaticEdgeFeatures);
      static_edges[static_edges.size() - kStaticEdgeFeatures + static_edge::producer_is_placeholder] =
          from < num_inputs ? 1.0f : 0.0f;
    }
    for (std::size_t a = 0; a < unit.accesses.size(); a += kAccessColumns) {
      const auto row = unit.accesses.begin() + static_cast<std::ptrdiff_t>(a);
      accesses.insert(accesses.end(), {number, stage_of(row[1]), first_edge + row[2]});
      accesses.insert(accesses.end(), row + 3, row + kAccessColumns);
    }
    producer += unit.num_producers;
  }
  for (std::size_t i = 0; i < consumers.size(); ++i) {
    float* const row = static_nodes.data() + i * kStaticNodeFeatures;
    row[static_node::is_output] = consumers[i] == 0.0 ? 1.0f : 0.0f;
    row[static_node::consumers] = static_cast<float>(log2p(consumers[i]));
  }
  const auto all = [](const auto& values) { return Span(values.data(), values.size()); };
  auto result = std::make_unique<Stages>(
      Computation({all(stages), all(output_bytes), all(axis_extents), all(flop), all(edges), all(accesses), all(reads),
                   all(dimensions), all(coefficients), {}, {}, all(static_nodes), all(static_edges)}));
  for (std::size_t k = 0; k < blocks_.size(); ++k) {
    result->blocks.push_back(blocks_[k]->stage);
    result->blocks.back().block = contents[k].block;
  }
  return result;
}

}  // namespace tvm_gnn_cost::tir
