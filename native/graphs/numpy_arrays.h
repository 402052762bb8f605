// Numpy arrays from and to C++.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "graphs/batch.h"
#include "graphs/span.h"

namespace tvm_gnn_cost {

// An argument: an array of one dimension, contiguous.
template <typename T>
using Flat = nanobind::ndarray<const T, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;

template <typename T>
Span<T> span(const Flat<T>& array) {
  return {array.data(), array.size()};
}

// A numpy array over `data`, which `owned` holds and the array frees.
template <typename T, typename Owned>
nanobind::object to_numpy(std::unique_ptr<Owned> owned, T* data, std::initializer_list<std::size_t> shape) {
  const nanobind::capsule owner(owned.get(), [](void* p) noexcept { std::unique_ptr<Owned>(static_cast<Owned*>(p)); });
  owned.release();  // the capsule frees it from here on
  return nanobind::cast(nanobind::ndarray<nanobind::numpy, T>(data, shape, owner));
}

template <typename T>
nanobind::object to_array(Buffer<T> buffer, std::initializer_list<std::size_t> shape) {
  auto owned = std::make_unique<Buffer<T>>(std::move(buffer));
  T* const data = owned->data.get();
  return to_numpy(std::move(owned), data, shape);
}

template <typename T>
nanobind::object to_array(std::vector<T> values) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  T* const data = owned->data();
  const std::size_t size = owned->size();
  return to_numpy(std::move(owned), data, {size});
}

}  // namespace tvm_gnn_cost
