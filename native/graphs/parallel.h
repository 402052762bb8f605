// Work on a batch, divided over threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace tvm_gnn_cost {

// The number of threads for `count` items: what was asked for (0: as many as the machine has), but no thread for less
// than `least` items.
inline std::size_t thread_count(std::size_t count, int asked, std::size_t least) {
  const auto wanted = static_cast<std::size_t>(asked > 0 ? asked : std::max(1u, std::thread::hardware_concurrency()));
  return std::max<std::size_t>(1, std::min(wanted, count / std::max<std::size_t>(1, least)));
}

// Calls work(chunk, begin, end) for `chunks` contiguous parts of 0..count, one a thread, the last one on this thread.
// The exception of the first part that failed is thrown again when all have ended.
template <typename Work>
void for_each_chunk(std::size_t count, std::size_t chunks, const Work& work) {
  std::vector<std::exception_ptr> errors(chunks);
  const auto run = [&](std::size_t chunk) {
    try {
      work(chunk, count * chunk / chunks, count * (chunk + 1) / chunks);
    } catch (...) {
      errors[chunk] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(chunks - 1);
  for (std::size_t chunk = 0; chunk + 1 < chunks; ++chunk) {
    try {
      threads.emplace_back(run, chunk);
    } catch (const std::system_error&) {
      run(chunk);  // no thread to be had: slower, not wrong
    }
  }
  run(chunks - 1);
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace tvm_gnn_cost
