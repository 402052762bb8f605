// TIR programs to stage graphs: reads every candidate of a batch and computes its features, on a few threads.
#pragma once

#include <cstdint>
#include <shared_mutex>
#include <string>

#include "graphs/extraction.h"
#include "graphs/hardware.h"
#include "graphs/span.h"
#include "tir/library.h"
#include "tir/types.h"
#include "tir/units.h"

namespace tvm_gnn_cost::tir {

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

  // Tells what the blocks of a program are, and all blocks that contain the same. Raises std::invalid_argument,
  // NotUnderstood.
  void register_program(std::uintptr_t function, const ProgramTables& tables);

  // The graphs of PrimFuncs at these addresses, which the caller keeps alive; the result does not depend on the number
  // of threads.
  Extraction extract(Span<std::uint64_t> functions, int n_threads) const;

  // How many blocks and inputs are known.
  std::size_t num_units() const;

 private:
  class Worker;

  const LoadedTvm& tvm_;
  Hardware hardware_;
  mutable std::shared_mutex mutex_;  // of the units: other Python threads may register while this one extracts
  Units units_;
};

}  // namespace tvm_gnn_cost::tir
