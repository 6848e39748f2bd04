// The process-wide pool of worker threads.
#pragma once

#include "ritz/core/function_ref.hpp"
#include "ritz/core/types.hpp"

namespace ritz::threads {

/// Calls `body(part)` once for every part in [0, parts), on all threads of the pool, and returns
/// when all are done. Neighbouring parts tend to go to the same thread, in every call alike, so
/// that a thread finds its share of a vector in its own cache; which thread runs a part is not
/// promised. Runs in the calling thread alone if the pool is busy, as it is for a nested call or
/// for a second caller. `body` must not throw.
RITZ_API void parallel_for(Index parts, function_ref<void(Index part)> body);

/// Elements from which on a region is worth its cost: waking a sleeping worker takes about as long
/// as one thread needs to stream through this many.
inline constexpr Index kParallelElements = Index{1} << 16;

/// `parallel_for` where `elements` of work warrant it, the same parts in order in this thread
/// otherwise.
template <class Body>
void for_each_part(Index parts, Index elements, Body&& body) {
  if (parts > 1 && elements >= kParallelElements) return parallel_for(parts, body);
  for (Index part = 0; part < parts; ++part) body(part);
}

/// Threads that a region uses, the caller among them. At first what RITZ_NUM_THREADS says, or else
/// the number of processors that this process may run on. In the child of a fork: 1.
///
/// Throws InvalidArgument if RITZ_NUM_THREADS is not a number of at least 1.
RITZ_API Index num_threads();

/// Replaces the pool by one of `count` threads, which start when first needed. Waits for a region
/// in progress to end, so it must not be called from inside one.
RITZ_API void set_num_threads(Index count);

/// Makes idle workers sleep at once instead of spinning for more work. Called before a callback
/// that may want the processors for threads of its own.
RITZ_API void park() noexcept;

}  // namespace ritz::threads
