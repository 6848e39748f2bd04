// The steps of recurrences: one thread of one block makes them.
// Included by kernels.cuh.
#pragma once

#include "ritz/krylov/recurrences.hpp"

namespace ritz::device {

template <class R>
__global__ void __launch_bounds__(kThreads) recurrence(const __grid_constant__ Arguments a) {
  using Number = NumberOf<R>;
  constexpr unsigned kCount = sizeof(R) / sizeof(double), kStride = kSlotStride<R>;
  static_assert(kCount <= kThreads);
  __shared__ double scalars[kCount];
  const Call& s = a.call;
  if (frozen(s.guard)) return;
  if (threadIdx.x < kCount) scalars[threadIdx.x] = s.out[0][kStride * threadIdx.x];
  __syncthreads();
  if (threadIdx.x == 0) {
    Number sums[kStepSums] = {};
    for (std::size_t k = 0; k < kStepSums; ++k) {
      if (s.h[k] != nullptr) sums[k] = from_slot<Number>(s.h[k]);
    }
    reinterpret_cast<R*>(scalars)->template step<DeviceMath>(static_cast<int>(s.ld), sums);
  }
  __syncthreads();
  if (threadIdx.x >= kCount) return;
  put_scalar<kStride>(s.out[0] + kStride * threadIdx.x, scalars[threadIdx.x]);
}

}  // namespace ritz::device
