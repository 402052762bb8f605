// TIR programs to stage graphs: reads every candidate of a batch and computes its features, on a few threads.
#pragma once

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "graphs/computation.h"
#include "graphs/extraction.h"
#include "graphs/hardware.h"
#include "graphs/span.h"
#include "graphs/structure_key.h"
#include "tir/library.h"
#include "tir/program.h"
#include "tir/stages.h"
#include "tir/types.h"

namespace tvm_gnn_cost::tir {

class StructureEncoder;

// TVM as it is loaded. Raises ffi::MissingError where it has not what the reader needs.
struct LoadedTvm {
  explicit LoadedTvm(const std::string& ffi_path) : library(ffi_path), types(library) {}

  ffi::Library library;
  Types types;
};

class TirExtractor {
 public:
  // `tvm` must outlive the extractor.
  TirExtractor(const LoadedTvm& tvm, const Hardware& hardware) : tvm_(tvm), hardware_(hardware) {}

  // Tells what the blocks of a program are, and of all that have the same. A structure that is known already keeps its
  // stages. Raises NotUnderstood.
  void register_stages(std::uintptr_t function, Stages stages);

  // The graphs of PrimFuncs at these addresses, which the caller keeps alive; the result does not depend on the number
  // of threads.
  Extraction extract(Span<std::uint64_t> functions, int n_threads) const;

  // How many structures are registered.
  std::size_t num_structures() const;

 private:
  class Worker;

  const LoadedTvm& tvm_;
  Hardware hardware_;
  mutable std::shared_mutex mutex_;  // of the stages: other Python threads may register while this one extracts
  std::unordered_map<StructureKey, Stages, StructureKeyHash> stages_;
};

}  // namespace tvm_gnn_cost::tir
