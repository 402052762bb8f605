#include "tir/tir_extractor.h"

#include <mutex>
#include <stdexcept>
#include <utility>

#include "graphs/arithmetic.h"
#include "graphs/graph_writer.h"
#include "graphs/loop_nest.h"
#include "tir/nests.h"
#include "tir/structure.h"

namespace tvm_gnn_cost::tir {

namespace {

constexpr const char* kAlign = "buffer_dim_align";

ffi::Address address_of(std::uint64_t function) { return reinterpret_cast<ffi::Address>(function); }

// Of all that Python's `Stages` are read from.
void encode(const LoadedTvm& tvm, const Program& program, StructureEncoder& encoder, StructureKey& key) {
  const Types& types = tvm.types;
  encoder.start(key);
  for (const Block& block : program.blocks) {
    const ffi::Address content = block.block;
    encoder.put(types.block_name.value(content));
    for (const ffi::Field& field : {types.block_axes, types.block_reads, types.block_writes, types.block_matches,
                                    types.block_init, types.block_body}) {
      encoder.put(field.object(content));
    }
    const ffi::Address annotations = types.block_annotations.object(content);
    if (tvm.library.map_size(annotations) == 0 || !tvm.library.map_has(annotations, kAlign)) continue;
    const ffi::Value align = tvm.library.map_item(annotations, kAlign);
    try {
      encoder.put(align);
    } catch (...) {
      tvm.library.release(align);
      throw;
    }
    tvm.library.release(align);
  }
}

}  // namespace

// One thread's scratch.
class TirExtractor::Worker {
 public:
  Worker(const TirExtractor& extractor, std::size_t count, ExtractionChunk& out)
      : extractor_(extractor),
        out_(out),
        reader_(extractor.tvm_.library, extractor.tvm_.types),
        encoder_(extractor.tvm_.library, extractor.tvm_.types),
        nests_(extractor.tvm_.types),
        writer_(extractor.hardware_, count, out.graphs) {}

  Status extract(ffi::Address function, std::int64_t position) {
    try {
      reader_.read(function, program_);
      encode(extractor_.tvm_, program_, encoder_, key_);
      const auto known = extractor_.stages_.find(key_);
      if (known == extractor_.stages_.end()) return out_.note_unregistered(position, key_);
      nests_.read(program_, known->second, nest_);
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
  StructureEncoder encoder_;
  StructureKey key_;
  NestReader nests_;
  LoopNest nest_;
  GraphWriter writer_;
};

void TirExtractor::register_stages(std::uintptr_t function, Stages stages) {
  Program program;
  StructureKey key;
  ProgramReader(tvm_.library, tvm_.types).read(reinterpret_cast<ffi::Address>(function), program);
  StructureEncoder encoder(tvm_.library, tvm_.types);
  encode(tvm_, program, encoder, key);
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  stages_.try_emplace(std::move(key), std::move(stages));
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

std::size_t TirExtractor::num_structures() const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  return stages_.size();
}

}  // namespace tvm_gnn_cost::tir
