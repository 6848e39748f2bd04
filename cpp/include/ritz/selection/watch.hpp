// Who watches a selection: an observer after each iteration, and a look up from the long passes in
// between, so that a signal need not wait for their ends.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <optional>
#include <thread>

#include "ritz/core/monitor.hpp"
#include "ritz/core/threads.hpp"
#include "ritz/core/view.hpp"
#include "ritz/dense/qr.hpp"

namespace ritz::selection {

/// Called now and then by the thread that runs a method, many times a second wherever no single
/// factorisation takes longer. What it throws ends the run.
using Look = function_ref<void()>;

/// Passed to a method with iterations; the default watches nothing and limits nothing.
struct Watch {
  Monitor monitor = {};
  Look look = {};
  Clock clock = {};  ///< from which the timeout counts

  std::optional<Status> check(Index iteration, double residual, const double* x = nullptr,
                              Index size = 0) const {
    if (look) look();
    Iteration now;
    now.iteration = iteration;
    now.residual = residual;
    now.x = x;
    now.size = size;
    now.clock = &clock;
    return monitor.check(now);
  }
};

/// Looks once for so many elements of work, some ten to a thousand microseconds: the clock that a
/// look reads is nothing beside them.
class Pace {
 public:
  static constexpr Index kWork = Index{1} << 16;

  explicit Pace(Look look) : look_(look) {}
  void operator()(Index work) {
    if (!look_ || (done_ += work) < kWork) return;
    done_ = 0;
    look_();
  }

 private:
  Look look_;
  Index done_ = 0;
};

/// `threads::for_each_part` in which the calling thread looks between its parts. When a look
/// throws, the parts that nobody has begun are left out.
template <class Body>
void for_each_part(Index parts, Index elements, Look look, const Body& body) {
  if (!look || elements < Pace::kWork) return threads::for_each_part(parts, elements, body);
  const auto caller = std::this_thread::get_id();
  const Index work = std::max<Index>(elements / parts, 1);
  Pace pace(look);
  std::exception_ptr error;
  std::atomic<bool> ended = false;
  threads::for_each_part(parts, elements, [&](Index part) {
    if (ended.load(std::memory_order_relaxed)) return;
    body(part);
    if (std::this_thread::get_id() != caller) return;
    try {
      pace(work);
    } catch (...) {  // no part may throw
      error = std::current_exception();
      ended.store(true, std::memory_order_relaxed);
    }
  });
  if (error) std::rethrow_exception(error);
}

/// C = A B, with Aᴴ for A where `adjoint`, by blocks of columns of about `work` multiplications
/// with a look after each. Blocks begin at multiples of 16 columns, in which every element is at
/// the same place of the product's tiles: all bits are those of one product. Each block rearranges
/// all of A, for about two columns' time.
template <class W>
void multiply(BlockView<const W> A, BlockView<const W> B, BlockView<W> C, bool adjoint, Look look,
              Index work = Index{1} << 30) {
  const Index column = std::max<Index>(A.rows * A.cols * (ComplexField<W> ? 4 : 1), 1);
  const Index width = look ? std::max<Index>(work / column / 16 * 16, 16) : B.cols;
  for (Index first = 0; first < B.cols;) {
    const Index count = B.cols - first < 2 * width ? B.cols - first : width;
    dense::multiply<W>(A, B.columns(first, count), C.columns(first, count), adjoint);
    if (look) look();
    first += count;
  }
}

}  // namespace ritz::selection
