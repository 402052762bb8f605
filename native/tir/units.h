// What Python has read of blocks, one by one, and how the blocks of a program are put together from it. A design space
// has few different blocks (a sum in parts for each extent of the parts, a packed layout for each tiling), and many sets
// of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "graphs/computation.h"
#include "graphs/span.h"
#include "graphs/structure_key.h"
#include "tir/contents.h"
#include "tir/stages.h"

namespace tvm_gnn_cost::tir {

// One stage of a computation, out of its tables. Where rows of tables name producers, a unit has their numbers in the
// order in which the stage first looks them up.
struct Unit {
  // A buffer that is looked up: by its number in the content's key.
  struct Lookup {
    std::uint32_t variable, producer, output;
  };

  std::int64_t id;
  std::vector<Lookup> lookups;
  std::uint32_t num_producers = 0;
  BlockStage stage;  // of an input: nothing
  std::vector<std::int64_t> row, output_bytes, axis_extents, edges, accesses;
  double flop = 0.0;
  std::vector<double> reads, dimensions, coefficients;
  std::vector<float> static_node, static_edges;
};

// What Python hands over of one program.
struct ProgramTables {
  ComputationTables computation;
  Span<std::int64_t> blocks;         // encode_blocks
  Span<std::uint64_t> inputs;        // (inputs,): the addresses of the buffers that no stage writes
  Span<std::int64_t> lookup_counts;  // (stages that are blocks,)
  Span<std::uint64_t> looked_up;     // (lookups,): addresses of buffers, in the order in which each stage looks them up
  Span<std::int64_t> found;          // (lookups, 2): the stage that makes each, and which of its outputs it is
};

class Units {
 public:
  // Takes over the blocks of a program that are not known yet. Raises std::invalid_argument for tables that do not fit
  // together, NotUnderstood.
  void add(const Program& program, ContentReader& reader, const ProgramTables& tables);
  const Unit* find(const StructureKey& key) const {
    const auto found = units_.find(key);
    return found == units_.end() ? nullptr : &found->second;
  }
  std::size_t size() const { return units_.size(); }

 private:
  std::unordered_map<StructureKey, Unit, StructureKeyHash> units_;
};

// Puts programs' stages together. One object serves one thread; the units must not change meanwhile.
class Composer {
 public:
  explicit Composer(const Units& units) : units_(units) {}

  // The stages of a program of these contents; null, and the key of it in `missing`, where some block or input is not
  // known. They live as long as this object. Raises NotUnderstood where blocks are connected otherwise than Python met
  // them.
  const Stages* compose(Span<Content> contents, ContentReader& reader, const StructureKey*& missing);

 private:
  // A stage of the program at hand: one that is a block, or (negative: -1, -2, ...) an input.
  struct Source {
    ffi::Address buffer;
    std::int64_t stage;
    std::uint32_t output;
  };

  const StructureKey* resolve(Span<Content> contents, ContentReader& reader);
  bool resolve_unit(const Content& content, const Unit& unit, std::int64_t number, ContentReader& reader);
  Source source_of(ffi::Address buffer);
  void write(const Content& content, std::int64_t number);
  std::unique_ptr<Stages> make(Span<Content> contents) const;

  const Units& units_;
  std::vector<Source> writers_;
  std::vector<ffi::Address> inputs_;
  std::vector<const Unit*> used_;         // of the inputs, then
  std::vector<const Unit*> blocks_;       // of the stages that are blocks
  std::vector<std::int64_t> producers_;   // of every unit, as Source::stage
  StructureKey input_key_, key_;
  std::unordered_map<StructureKey, std::unique_ptr<Stages>, StructureKeyHash> known_;
};

}  // namespace tvm_gnn_cost::tir
