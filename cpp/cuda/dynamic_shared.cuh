// The part of a block's shared memory whose size is set at the launch.
#pragma once

namespace ritz::device {

__device__ inline double* dynamic_shared() {
  extern __shared__ double shared[];
  return shared;
}

}  // namespace ritz::device
