// The blocks of a program that are stages, and what each contains.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "graphs/structure_key.h"
#include "tir/library.h"
#include "tir/program.h"
#include "tir/structure.h"
#include "tir/types.h"

namespace tvm_gnn_cost::tir {

// A block that is a stage. What Python reads of it depends on nothing but its key, and on which stages made the buffers
// that it reads.
struct Content {
  std::uint32_t block;                  // its position in the program
  bool starts;                          // it gives its reduction initial values, or another block does
  std::vector<ffi::Address> outputs;    // the buffers that it writes, each once
  StructureKey key;                     // of the block, and of the one that gives its initial values
  std::vector<ffi::Address> variables;  // and buffers, as the key numbers them
};

// Reads the contents of programs, one after the other. One object serves one thread.
class ContentReader {
 public:
  ContentReader(const ffi::Library& library, const Types& types)
      : library_(library), types_(types), encoder_(library, types) {}

  // The contents of the stages, in the order in which they run. Valid until the next call. Raises NotUnderstood.
  Span<Content> read(const Program& program);
  // The key of a buffer that no stage writes. Raises NotUnderstood.
  void input_key(ffi::Address buffer, StructureKey& key);

 private:
  void merge_inits(const Program& program);
  void put_block(ffi::Address block);
  void put_alignment(ffi::Address block);
  void collect_buffers(ffi::Address regions, std::vector<ffi::Address>& out) const;
  bool reduces(ffi::Address block) const;

  const ffi::Library& library_;
  const Types& types_;
  StructureEncoder encoder_;
  std::vector<Content> contents_;  // keep their memory
  std::vector<std::int32_t> inits_;  // by block: the one that gives its initial values; kNone, kIsInit
  std::vector<ffi::Address> reads_, writes_, written_;
};

}  // namespace tvm_gnn_cost::tir
