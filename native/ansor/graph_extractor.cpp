#include "ansor/graph_extractor.h"

#include <mutex>
#include <stdexcept>
#include <unordered_set>
#include <utility>

#include "ansor/derivation.h"
#include "ansor/schedule.h"
#include "graphs/arithmetic.h"
#include "graphs/graph_writer.h"
#include "graphs/loop_nest.h"
#include "graphs/parallel.h"
#include "graphs/schema.h"

namespace tvm_gnn_cost {

namespace {

constexpr std::size_t kLeastStatesPerThread = 16;

bool is_bound_inferred(const Schedule& schedule) {
  for (std::size_t i = 0; i < schedule.num_stages(); ++i) {
    if (schedule.placements[i].compute_at == ComputeAt::kInlined) continue;
    for (const Loop& loop : schedule.loops(i)) {
      if (loop.extent == kUndefinedExtent) return false;
    }
  }
  return true;
}

}  // namespace

// What one thread made of a run of states.
struct GraphExtractor::Chunk {
  GraphChunk graphs;
  std::vector<std::pair<std::int64_t, StructureKey>> unregistered;
  std::string first_error;
};

// One thread's scratch.
class GraphExtractor::Worker {
 public:
  Worker(const GraphExtractor& extractor, const TypeTable& types, bool accept_undefined, std::size_t num_states,
         Chunk& out)
      : extractor_(extractor),
        accept_undefined_(accept_undefined),
        out_(out),
        reader_(types, extractor.layout_),
        writer_(extractor.hardware_, num_states, out.graphs) {}

  StateStatus extract(Address state, std::int64_t position) {
    try {
      if (state == nullptr) throw ScheduleError("not a state");
      return try_extract(state, position);
    } catch (const UnknownTypeIndex&) {
      throw;  // the caller may learn the type
    } catch (const std::runtime_error& error) {
      if (out_.first_error.empty()) out_.first_error = error.what();
      return StateStatus::kUnreadable;
    }
  }

 private:
  StateStatus try_extract(Address state, std::int64_t position) {
    reader_.read(state, schedule_);
    if (!accept_undefined_ && !is_bound_inferred(schedule_)) return StateStatus::kNotInferred;
    steps_.sort(schedule_);
    steps_.structure(schedule_, key_);
    const auto known = extractor_.computations_.find(key_);
    if (known == extractor_.computations_.end()) {
      if (unregistered_.insert(key_).second) out_.unregistered.emplace_back(position, key_);
      return StateStatus::kNotRegistered;
    }
    derivation_.run(known->second, schedule_, steps_, nest_);
    writer_.append(nest_);
    return StateStatus::kDone;
  }

  const GraphExtractor& extractor_;
  const bool accept_undefined_;
  Chunk& out_;
  ScheduleReader reader_;
  Schedule schedule_;
  StageSteps steps_;
  StructureKey key_;
  std::unordered_set<StructureKey, StructureKeyHash> unregistered_;
  Derivation derivation_;
  LoopNest nest_;
  GraphWriter writer_;
};

void GraphExtractor::register_computation(StructureKey structure, Computation computation) {
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  computations_.try_emplace(std::move(structure), std::move(computation));
}

Extraction GraphExtractor::extract(std::uintptr_t array, const TypeTable& types, int n_threads,
                                   bool accept_undefined) const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  const std::vector<Address> states = state_addresses(array, types, layout_, NoState::kMakeNull);
  std::vector<StateStatus> status(states.size());
  std::vector<Chunk> chunks(thread_count(states.size(), n_threads, kLeastStatesPerThread));
  for_each_chunk(states.size(), chunks.size(), [&](std::size_t chunk, std::size_t begin, std::size_t end) {
    Worker worker(*this, types, accept_undefined, end - begin, chunks[chunk]);
    for (std::size_t i = begin; i < end; ++i) status[i] = worker.extract(states[i], static_cast<std::int64_t>(i));
  });

  std::vector<const GraphChunk*> parts;
  for (const Chunk& chunk : chunks) parts.push_back(&chunk.graphs);
  Extraction extraction{GraphBatch::of(parts), std::move(status), {}, {}};
  std::unordered_set<StructureKey, StructureKeyHash> seen;
  for (Chunk& chunk : chunks) {
    if (extraction.first_error.empty()) extraction.first_error = chunk.first_error;
    for (auto& [position, key] : chunk.unregistered) {
      if (seen.insert(std::move(key)).second) extraction.unregistered.push_back(position);
    }
  }
  return extraction;
}

}  // namespace tvm_gnn_cost
