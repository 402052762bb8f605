#include "graphs/given_nests.h"

#include <limits>
#include <stdexcept>

#include "graphs/arithmetic.h"
#include "graphs/graph_writer.h"
#include "graphs/loop_nest.h"
#include "graphs/parallel.h"

namespace tvm_gnn_cost {

namespace {

constexpr std::size_t kLeastNestsPerThread = 16;
constexpr std::size_t kStageColumns = 6, kLoopColumns = 5, kPartColumns = 3;

[[noreturn]] void refuse(const char* what) {
  throw std::invalid_argument(std::string("the tables of loop nests do not fit together: ") + what);
}

std::int32_t code(std::int64_t value, std::int64_t least, std::int64_t most, const char* what) {
  if (value < least || value > most) throw ScheduleError(std::to_string(value) + " is no " + what);
  return static_cast<std::int32_t>(value);
}

// Where the rows of each nest begin in the tables.
struct Begin {
  std::size_t stage = 0, loop = 0, part = 0;
};

std::vector<Begin> find_nests(const std::vector<const Computation*>& computations, const NestTables& tables) {
  const std::size_t num_stages = tables.stages.size() / kStageColumns, num_loops = tables.loops.size() / kLoopColumns;
  std::vector<Begin> begins(1);
  Begin at;
  for (const Computation* const computation : computations) {
    for (std::size_t i = 0; i < computation->num_stages(); ++i, ++at.stage) {
      if (at.stage >= num_stages) refuse("too few stages");
      const std::int64_t loops = tables.stages[at.stage * kStageColumns + 5];
      if (loops < 0 || static_cast<std::uint64_t>(loops) > num_loops - at.loop) refuse("too few loops");
      if (loops != 0 && !computation->stage(i).runs()) refuse("loops of a stage that does not run");
      for (std::int64_t k = 0; k < loops; ++k, ++at.loop) {
        const std::int64_t parts = tables.loops[at.loop * kLoopColumns + 4];
        const std::size_t left = tables.parts.size() / kPartColumns - at.part;
        if (parts < 0 || static_cast<std::uint64_t>(parts) > left) refuse("too few parts");
        at.part += static_cast<std::size_t>(parts);
      }
    }
    begins.push_back(at);
  }
  if (at.stage * kStageColumns != tables.stages.size() || at.loop * kLoopColumns != tables.loops.size() ||
      at.part * kPartColumns != tables.parts.size()) {
    refuse("more than the nests have");
  }
  return begins;
}

// One thread's scratch.
class Worker {
 public:
  Worker(const Hardware& hardware, const NestTables& tables, std::size_t num_nests, GraphChunk& out)
      : tables_(tables), writer_(hardware, num_nests, out) {}

  void write(const Computation& computation, const Begin& begin) {
    read_stages(computation, begin);
    nest_.start(computation, {placements_.data(), placements_.size()}, {loop_ptr_.data(), loop_ptr_.size()});
    add_parts(computation, begin);
    for (std::size_t i = computation.num_stages(); i-- > 0;) {
      if (!computation.stage(i).runs()) continue;
      nest_.add_loops(static_cast<std::int32_t>(i),
                      {loops_.data() + loop_ptr_[i], std::size_t{loop_ptr_[i + 1]} - loop_ptr_[i]});
    }
    writer_.append(nest_);
  }

 private:
  void read_stages(const Computation& computation, const Begin& begin) {
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    placements_.clear();
    loop_ptr_.assign(1, 0);
    for (std::size_t i = 0; i < computation.num_stages(); ++i) {
      const std::int64_t* const row = tables_.stages.begin() + (begin.stage + i) * kStageColumns;
      placements_.push_back({static_cast<ComputeAt>(code(row[0], 0, 2, "compute_at")),
                             code(row[1], -1, kMost, "attach stage"), code(row[2], -1, kMost, "attach loop"),
                             code(row[3], 0, kMost, "auto_unroll_max_step"), code(row[4], 0, kMost, "storage_offset")});
      loop_ptr_.push_back(loop_ptr_.back() + static_cast<std::uint32_t>(row[5]));
    }
  }

  void add_parts(const Computation& computation, const Begin& begin) {
    PartPool& pool = nest_.part_pool();
    const std::int64_t* row = tables_.loops.begin() + begin.loop * kLoopColumns;
    const std::int64_t* part = tables_.parts.begin() + begin.part * kPartColumns;
    loops_.clear();
    for (std::size_t i = 0; i < computation.num_stages(); ++i) {
      const std::int64_t num_axes = computation.stage(i).num_axes;
      for (std::uint32_t k = loop_ptr_[i]; k < loop_ptr_[i + 1]; ++k, row += kLoopColumns) {
        const PartRange range{pool.size(), pool.size() + static_cast<std::uint32_t>(row[4])};
        for (std::int64_t p = 0; p < row[4]; ++p, part += kPartColumns) {
          pool.push({static_cast<std::uint32_t>(code(part[0], 0, num_axes - 1, "axis of a part")), part[1], part[2]});
        }
        loops_.push_back({0, 0, row[0], static_cast<LoopKind>(code(row[1], 0, 3, "kind of a loop")),
                          static_cast<Annotation>(code(row[2], 0, 11, "annotation")), range, row[3] != 0});
      }
    }
  }

  const NestTables& tables_;
  std::vector<Placement> placements_;
  std::vector<std::uint32_t> loop_ptr_;
  std::vector<NestLoop> loops_;  // the nest knows stage and index
  LoopNest nest_;
  GraphWriter writer_;
};

}  // namespace

WrittenNests write_nests(const Hardware& hardware, const std::vector<const Computation*>& computations,
                         const NestTables& tables, int n_threads) {
  const std::vector<Begin> begins = find_nests(computations, tables);
  const std::size_t count = computations.size();
  std::vector<GraphChunk> chunks(thread_count(count, n_threads, kLeastNestsPerThread));
  std::vector<std::string> errors(chunks.size());
  std::vector<std::uint8_t> done(count);
  for_each_chunk(count, chunks.size(), [&](std::size_t chunk, std::size_t begin, std::size_t end) {
    Worker worker(hardware, tables, end - begin, chunks[chunk]);
    for (std::size_t i = begin; i < end; ++i) {
      try {
        worker.write(*computations[i], begins[i]);
        done[i] = 1;
      } catch (const ScheduleError& error) {
        if (errors[chunk].empty()) errors[chunk] = error.what();
      }
    }
  });
  std::vector<const GraphChunk*> parts;
  for (const GraphChunk& chunk : chunks) parts.push_back(&chunk);
  WrittenNests written{GraphBatch::of(parts), std::move(done), {}};
  for (const std::string& error : errors) {
    if (written.first_error.empty()) written.first_error = error;
  }
  return written;
}

}  // namespace tvm_gnn_cost
