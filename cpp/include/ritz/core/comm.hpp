// The one place where ranks meet: a sum over all of them.
#pragma once

#include "ritz/core/function_ref.hpp"
#include "ritz/core/types.hpp"

namespace ritz {

/// Vectors are distributed by rows, each rank holding a contiguous slice. Every reduction of a
/// space ends in one `allreduce_sum(values, count)`, which replaces each value by its sum over the
/// ranks; MPI, NCCL or threads supply the callback. Empty means a single rank.
///
/// Every rank must run the same number of iterations: give cg and lsmr `max_iterations`, whose
/// default follows the local length, and no time limit. eigsh, trace and random fills know the
/// local length only, so they are for a single rank.
struct Comm {
  function_ref<void(double* values, Index count)> allreduce_sum;
};

}  // namespace ritz
