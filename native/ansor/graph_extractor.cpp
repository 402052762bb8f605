#include "ansor/graph_extractor.h"

#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

#include "ansor/derivation.h"
#include "ansor/schedule.h"
#include "ansor/stage_steps.h"
#include "graphs/arithmetic.h"
#include "graphs/graph_writer.h"
#include "graphs/loop_nest.h"

namespace tvm_gnn_cost {

namespace {

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

// One thread's scratch.
class GraphExtractor::Worker {
 public:
  Worker(const GraphExtractor& extractor, const TypeTable& types, bool accept_undefined, std::size_t num_states,
         ExtractionChunk& out)
      : extractor_(extractor),
        accept_undefined_(accept_undefined),
        out_(out),
        reader_(types, extractor.layout_),
        writer_(extractor.hardware_, num_states, out.graphs) {}

  Status extract(Address state, std::int64_t position) {
    try {
      if (state == nullptr) throw ScheduleError("not a state");
      return try_extract(state, position);
    } catch (const UnknownTypeIndex&) {
      throw;  // the caller may learn the type
    } catch (const std::runtime_error& error) {
      return out_.note_unreadable(error.what());
    }
  }

 private:
  Status try_extract(Address state, std::int64_t position) {
    reader_.read(state, schedule_);
    if (!accept_undefined_ && !is_bound_inferred(schedule_)) return Status::kNotInferred;
    steps_.sort(schedule_);
    steps_.structure(schedule_, key_);
    const auto known = extractor_.computations_.find(key_);
    if (known == extractor_.computations_.end()) return out_.note_unregistered(position, key_);
    derivation_.run(known->second, schedule_, steps_, nest_);
    writer_.append(nest_);
    return Status::kDone;
  }

  const GraphExtractor& extractor_;
  const bool accept_undefined_;
  ExtractionChunk& out_;
  ScheduleReader reader_;
  Schedule schedule_;
  StageSteps steps_;
  StructureKey key_;
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
  return extract_all(states.size(), n_threads,
                     [&](ExtractionChunk& chunk, std::size_t begin, std::size_t end, std::vector<Status>& status) {
                       Worker worker(*this, types, accept_undefined, end - begin, chunk);
                       for (std::size_t i = begin; i < end; ++i) {
                         status[i] = worker.extract(states[i], static_cast<std::int64_t>(i));
                       }
                     });
}

}  // namespace tvm_gnn_cost
