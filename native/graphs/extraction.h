// Candidates to stage graphs on a few threads, whichever scheduler they are of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "graphs/batch.h"
#include "graphs/parallel.h"
#include "graphs/structure_key.h"

namespace tvm_gnn_cost {

// What became of a candidate.
enum class Status : std::int8_t {
  kDone = 0,
  kNotRegistered = 1,  // its structure, or a part of it, has no computation yet
  kNotInferred = 2,    // some loop that runs has no range
  kUnreadable = 3,
};

// The graphs of the candidates that are done, and what became of every one.
struct Extraction {
  GraphBatch graphs;
  std::vector<Status> status;
  std::vector<std::int64_t> unregistered;  // the first candidate of every one that has no computation yet
  std::string first_error;                 // of the unreadable ones
};

// What one thread makes of a run of candidates.
struct ExtractionChunk {
  GraphChunk graphs;
  std::vector<std::pair<std::int64_t, StructureKey>> unregistered;
  std::string first_error;

  // Candidate `position` has a structure without computation.
  Status note_unregistered(std::int64_t position, const StructureKey& key) {
    if (seen.insert(key).second) unregistered.emplace_back(position, key);
    return Status::kNotRegistered;
  }
  Status note_unreadable(const char* why) {
    if (first_error.empty()) first_error = why;
    return Status::kUnreadable;
  }

  std::unordered_set<StructureKey, StructureKeyHash> seen;
  std::shared_ptr<const void> computations;  // which the graphs refer to, where nobody else keeps them
};

// `work(chunk, begin, end, status)` sets the status of candidates begin..end and adds their graphs to the chunk.
template <typename Work>
Extraction extract_all(std::size_t count, int n_threads, const Work& work) {
  constexpr std::size_t kLeastPerThread = 16;
  std::vector<Status> status(count);
  std::vector<ExtractionChunk> chunks(thread_count(count, n_threads, kLeastPerThread));
  for_each_chunk(count, chunks.size(), [&](std::size_t chunk, std::size_t begin, std::size_t end) {
    work(chunks[chunk], begin, end, status);
  });
  std::vector<const GraphChunk*> parts;
  for (const ExtractionChunk& chunk : chunks) parts.push_back(&chunk.graphs);
  Extraction extraction{GraphBatch::of(parts), std::move(status), {}, {}};
  std::unordered_set<StructureKey, StructureKeyHash> seen;
  for (ExtractionChunk& chunk : chunks) {
    if (extraction.first_error.empty()) extraction.first_error = chunk.first_error;
    for (auto& [position, key] : chunk.unregistered) {
      if (seen.insert(std::move(key)).second) extraction.unregistered.push_back(position);
    }
  }
  return extraction;
}

}  // namespace tvm_gnn_cost
