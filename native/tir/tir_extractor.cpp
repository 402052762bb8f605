#include "tir/tir_extractor.h"

#include <memory>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "graphs/arithmetic.h"
#include "graphs/graph_writer.h"
#include "graphs/loop_nest.h"
#include "tir/contents.h"
#include "tir/nests.h"
#include "tir/program.h"

namespace tvm_gnn_cost::tir {

namespace {

ffi::Address address_of(std::uint64_t function) { return reinterpret_cast<ffi::Address>(function); }

}  // namespace

// One thread's scratch.
class TirExtractor::Worker {
 public:
  Worker(const TirExtractor& extractor, std::size_t count, ExtractionChunk& out)
      : extractor_(extractor),
        out_(out),
        reader_(extractor.tvm_.library, extractor.tvm_.types),
        contents_(extractor.tvm_.library, extractor.tvm_.types),
        composer_(std::make_shared<Composer>(extractor.units_)),
        nests_(extractor.tvm_.types),
        writer_(extractor.hardware_, count, out.graphs) {
    out.computations = composer_;
  }

  Status extract(ffi::Address function, std::int64_t position) {
    try {
      reader_.read(function, program_);
      const StructureKey* missing = nullptr;
      const Stages* const stages = composer_->compose(contents_.read(program_), contents_, missing);
      if (stages == nullptr) return out_.note_unregistered(position, *missing);
      nests_.read(program_, *stages, nest_);
      writer_.append(nest_);
      return Status::kDone;
    } catch (const std::runtime_error& error) {
      return out_.note_unreadable(error.what());
    }
  }

 private:
  const TirExtractor& extractor_;
  ExtractionChunk& out_;
  ProgramReader reader_;
  Program program_;
  ContentReader contents_;
  std::shared_ptr<Composer> composer_;
  NestReader nests_;
  LoopNest nest_;
  GraphWriter writer_;
};

void TirExtractor::register_program(std::uintptr_t function, const ProgramTables& tables) {
  Program program;
  ProgramReader(tvm_.library, tvm_.types).read(reinterpret_cast<ffi::Address>(function), program);
  ContentReader contents(tvm_.library, tvm_.types);
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  units_.add(program, contents, tables);
}

Extraction TirExtractor::extract(Span<std::uint64_t> functions, int n_threads) const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  return extract_all(functions.size(), n_threads,
                     [&](ExtractionChunk& chunk, std::size_t begin, std::size_t end, std::vector<Status>& status) {
                       Worker worker(*this, end - begin, chunk);
                       for (std::size_t i = begin; i < end; ++i) {
                         status[i] = worker.extract(address_of(functions[i]), static_cast<std::int64_t>(i));
                       }
                     });
}

std::size_t TirExtractor::num_units() const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  return units_.size();
}

}  // namespace tvm_gnn_cost::tir
