// In the place of CUB's: the same interface, by the first thread. Its sum is valid there alone.
#pragma once

#include "simt.hpp"

namespace cub {

template <class T, int kThreads>
class BlockReduce {
 public:
  struct TempStorage {
    alignas(T) unsigned char bytes[kThreads * sizeof(T)];
  };
  explicit BlockReduce(TempStorage& storage) : values_(reinterpret_cast<T*>(storage.bytes)) {}

  template <class Op>
  T Reduce(T value, Op op) {
    values_[threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int half = kThreads / 2; half > 0; half /= 2) {
        for (int k = 0; k < half; ++k) values_[k] = op(values_[k], values_[k + half]);
      }
    }
    return values_[0];
  }

 private:
  T* values_;
};

}  // namespace cub
