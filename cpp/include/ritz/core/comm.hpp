// The one place where ranks meet: a sum over all of them.
#pragma once

#include "ritz/core/function_ref.hpp"
#include "ritz/core/types.hpp"

namespace ritz {

/// Vectors are distributed by rows, each rank holding a contiguous slice. Every reduction of a
/// space ends in one `allreduce_sum(values, count)`, which replaces each value by its sum over the
/// ranks; MPI, NCCL or threads supply the callback. Empty means a single rank.
struct Comm {
  function_ref<void(double* values, Index count)> allreduce_sum;
};

}  // namespace ritz
