// Scratch memory for one state: handed out in pieces that stay where they are, and taken back all at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

namespace tvm_gnn_cost {

class Arena {
 public:
  // `count` numbers, not initialised; valid until `reset`.
  double* allocate(std::size_t count) {
    while (block_ < blocks_.size() && used_ + count > blocks_[block_].size) {
      ++block_;
      used_ = 0;
    }
    if (block_ == blocks_.size()) {
      const std::size_t size = std::max(count, kBlockSize);
      blocks_.push_back({std::unique_ptr<double[]>(new double[size]), size});
    }
    double* const result = blocks_[block_].data.get() + used_;
    used_ += count;
    return result;
  }

  void reset() { block_ = used_ = 0; }

 private:
  static constexpr std::size_t kBlockSize = 4096;
  struct Block {
    std::unique_ptr<double[]> data;
    std::size_t size;
  };
  std::vector<Block> blocks_;
  std::size_t block_ = 0;  // the one that is handed out from
  std::size_t used_ = 0;   // of it
};

}  // namespace tvm_gnn_cost
