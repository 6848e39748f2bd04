// Counts heap allocations of the whole test program, to show where there are none.
#pragma once

#include <cstdint>

namespace ritz::testing {

/// Calls of operator new so far, in all threads.
std::int64_t allocation_count();

/// Allocations during `body()`.
template <class Body>
std::int64_t allocations_in(Body&& body) {
  const std::int64_t before = allocation_count();
  body();
  return allocation_count() - before;
}

}  // namespace ritz::testing
