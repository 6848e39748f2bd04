// Conjugate gradients on a batch: A_k x_k = b_k for many Hermitian positive definite A_k of one
// size, each with its own coefficients and its own end. An iteration is one product of all A_k and
// one operation of the space; a system that has ended changes nothing any more.
//
// Hestenes, Stiefel: Methods of conjugate gradients for solving linear systems. J. Res. NBS 49,
// 1952. On a batch: Aggarwal, Kashi, Nayak, Balos, Woodward, Anzt: Batched sparse iterative solvers
// for computational chemistry simulations on GPUs. ScalA 2021.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ritz/core/arena.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/krylov/linear_run.hpp"
#include "ritz/krylov/right_hand_side.hpp"
#include "ritz/op/batch.hpp"

namespace ritz {

struct CgBatchOptions : LinearOptions {
  Index look_every = 1;  ///< most iterations between two calls of the monitor where reads are free
                         ///< and A can multiply systems one by one: each then makes several at a
                         ///< time, while its matrix is in cache

  template <class F>
  void visit(F f) {
    LinearOptions::visit(f);
    f("look_every", look_every);
  }
};

/// How one system ended.
struct CgBatchSystem {
  Status status = Status::max_iterations;
  Index iterations = 0;
  double residual = std::numeric_limits<double>::quiet_NaN();  ///< as last measured
  double target = 0.0;
  bool verified = false;  ///< `residual` is ‖b − A x‖, evaluated
};

struct CgBatchOutcome {
  Index iterations = 0;  ///< of the batch
  Index products = 0;    ///< each with all systems at once
  double seconds = 0.0;
};

/// P, Q, R of n × count without gaps, and the numbers of the systems, there and on the host.
template <BatchSpace S>
struct CgBatchWorkspace {
  using T = typename S::Value;

  void prepare(S& space, Index n, Index count) {
    const Index doubles = BatchState::kArrays * count, size = sizeof(T);
    const Index elements = (doubles * Index{sizeof(double)} + size - 1) / size;
    arena.begin(space, 3 * Arena<S>::padded(n * count) + Arena<S>::padded(elements));
    for (BlockView<T>* V : {&P, &Q, &R}) *V = {arena.vector(n * count).data, n, count, n};
    state = {reinterpret_cast<double*>(arena.vector(elements).data), count};
    numbers.assign(static_cast<std::size_t>(doubles), 0.0);
    checked.assign(static_cast<std::size_t>(count), INFINITY);
  }
  std::size_t bytes() const { return arena.bytes(); }

  Arena<S> arena;
  BlockView<T> P, Q, R;
  BatchState state;
  std::vector<double> numbers;  // what the host knows of the state
  std::vector<double> checked;  // true residuals at the last checks that failed
};

/// One run; `cg_batch` makes and finishes it.
template <BatchSpace S, BatchOperator<typename S::Value> Op>
class CgBatchRun {
 public:
  using T = typename S::Value;
  static constexpr bool kOneByOne =
      S::kReadsAreFree &&
      requires(const Op& a, VectorView<const T> x, VectorView<T> y) { a.apply_one(Index{}, x, y); };

  CgBatchRun(S& space, const Op& A, BlockView<const T> B, BlockView<T> X, BlockView<const T> D,
             CgBatchWorkspace<S>& ws, const CgBatchOptions& opt, const Monitor& monitor,
             std::span<CgBatchSystem> systems)
      : space_(space),
        A_(A),
        B_(B),
        ws_(ws),
        host_{ws.numbers.data(), B.cols},
        data_{X, ws.P, ws.Q, ws.R, D, ws.state, 0},
        opt_(opt),
        monitor_(monitor),
        systems_(systems) {
    data_.limit = opt.max_iterations > 0 ? opt.max_iterations : 10 * B.rows;
  }

  CgBatchOutcome finish() {
    for (bool running = begin(); running; running = restart()) {
      do {
        advance();
      } while (iterated());
    }
    report();
    return out_;
  }

 private:
  double& status(Index k) { return host_.status()[k]; }
  bool has(double wanted) const {
    const double* const first = host_.status();
    return std::find(first, first + host_.count, wanted) != first + host_.count;
  }
  /// The first `arrays` of the state.
  void read(Index arrays) {
    read_numbers(space_, data_.state.start,
                 {host_.start, static_cast<std::size_t>(arrays * host_.count)});
  }
  void write() { write_numbers(space_, data_.state.start, ws_.numbers); }

  void product(BlockView<const T> V, double wanted) {
    A_.apply_batch(V, data_.Q, BatchSelection{data_.state.status(), wanted});
    ++out_.products;
  }
  /// r = b − A x of the claimed systems.
  void measure() {
    write();
    product(data_.X, BatchState::kClaimed);
    cg_batch_start(space_, B_, true, data_);
    read(4);
  }
  /// One iteration of all running systems, or several of one after the other.
  void advance() {
    if constexpr (kOneByOne) {
      const Index steps = at_once();
      if (steps > 1) return advance_one_by_one(steps);
    }
    product(data_.P, BatchState::kRunning);
    cg_batch_step(space_, data_);
    ++out_.iterations;
  }
  /// Iterations that each system makes at a time, without keeping the monitor waiting for long.
  Index at_once() const {
    constexpr Index kCached = Index{1} << 20, kPatience = Index{1} << 28, kWorthwhile = 4;
    const Index matrix = std::max<Index>(B_.rows * B_.rows, 1);
    if (matrix * Index{sizeof(T)} > kCached) return 1;
    return std::min(opt_.look_every, std::max(kPatience / (matrix * host_.count), kWorthwhile));
  }
  void advance_one_by_one(Index steps) {
    const Index n = B_.rows;
    std::atomic<Index> most = 0;
    for_each_system(space_, host_.count, steps * n * (n + 10) * host_.count, [&](Index k) {
      const double& now = data_.state.status()[k];
      Index made = 0;
      for (; made < steps && now == BatchState::kRunning; ++made) {
        A_.apply_one(k, data_.P.column(k), data_.Q.column(k));
        cg_batch_step_of(space_, data_, k);
      }
      for (Index seen = most; seen < made;) most.compare_exchange_weak(seen, made);
    });
    out_.products += most;
    out_.iterations += most;
  }

  void end(Index k, Status how) { status(k) = BatchState::code(how); }
  void verified(Index k, Status how) {
    end(k, how);
    systems_[static_cast<std::size_t>(k)].verified = true;
  }

  /// Targets and first residuals; false if no system is left to iterate.
  bool begin() {
    std::fill_n(host_.status(), host_.count, BatchState::kClaimed);
    write();
    cg_batch_start(space_, B_, false, data_);
    read(4);
    if (!opt_.warm_start) clear(data_.X);
    for (Index k = 0; k < host_.count; ++k) {
      const double norm_b = norm(k);
      host_.target()[k] = std::max(opt_.rtol * norm_b, opt_.atol);
      if (!std::isfinite(norm_b)) end(k, Status::nonfinite);
      if (norm_b == 0.0) {  // x = 0 solves it exactly
        if (opt_.warm_start) space_.fill(0.0, data_.X.column(k));
        verified(k, Status::converged);
      }
    }
    if (opt_.warm_start && has(BatchState::kClaimed)) measure();
    return judge();
  }

  void clear(BlockView<T> V) {
    if (V.ld == V.rows) return space_.fill(0.0, {V.data, V.rows * V.cols});
    for (Index k = 0; k < V.cols; ++k) space_.fill(0.0, V.column(k));
  }

  /// ‖b‖ of system k, whose residual it is now; throws where it cannot be told from zero.
  double norm(Index k) {
    // Below this, and above the range, only a closer look at b tells.
    constexpr double kSafe = 1e-138;
    const double norm_b = host_.residual()[k];
    if (norm_b > kSafe && std::isfinite(norm_b)) return norm_b;
    try {
      return std::sqrt(right_hand_side_norm2(space_, B_.column(k), opt_.rtol, data_.Q.column(k)));
    } catch (const InvalidArgument& e) {
      throw InvalidArgument("system " + std::to_string(k) + ": " + e.what());
    }
  }

  /// Ends the claimed systems, or lets them start from their true residuals; whether any does.
  bool judge() {
    for (Index k = 0; k < host_.count; ++k) {
      if (status(k) != BatchState::kClaimed) continue;
      const double residual = host_.residual()[k], rho = host_.rho()[k];
      double& checked = ws_.checked[static_cast<std::size_t>(k)];
      const bool again = host_.iterations()[k] > 0.0;
      if (!std::isfinite(residual)) {
        verified(k, Status::nonfinite);
      } else if (residual <= host_.target()[k]) {
        verified(k, Status::converged);
      } else if (again && residual > 0.5 * checked) {
        verified(k, Status::precision_limit);
      } else if (again && stop_) {
        verified(k, *stop_);
      } else if (again && host_.iterations()[k] >= static_cast<double>(data_.limit)) {
        verified(k, Status::max_iterations);
      } else if (!(rho > 0.0)) {
        end(k, std::isfinite(rho) ? Status::indefinite_preconditioner : Status::nonfinite);
      } else {
        if (again) checked = residual;
        status(k) = BatchState::kRunning;
      }
    }
    write();
    return has(BatchState::kRunning);
  }

  /// Looks at the true residuals of the systems that claim to have converged.
  bool restart() {
    if (!has(BatchState::kClaimed)) return false;
    if (opt_.verify) {
      measure();
      return judge();
    }
    turn(BatchState::kClaimed, Status::converged);
    return false;
  }

  /// Ends an iteration: whether to make another.
  bool iterated() {
    const bool due =
        monitor_.template due<S>(out_.iterations - 1) || out_.iterations == data_.limit;
    if (!due) return true;
    read(monitor_.observer ? 2 : 1);
    Iteration now;
    now.iteration = out_.iterations;
    now.products.columns = out_.products * host_.count;
    now.residual = largest_residual();
    now.clock = &clock_;
    if (S::kReadsAreFree && data_.X.ld == data_.X.rows) {
      now.x = data_.X.data;
      now.size = data_.X.rows * data_.X.cols;
    }
    stop_ = monitor_.check(now);
    if (!stop_ && has(BatchState::kRunning)) return true;
    read(4);
    if (stop_) turn(BatchState::kRunning, *stop_);
    return false;
  }

  double largest_residual() const {
    double largest = 0.0;
    for (Index k = 0; k < host_.count; ++k) {
      if (host_.residual()[k] > largest) largest = host_.residual()[k];
    }
    return largest;
  }
  void turn(double from, Status to) {
    std::replace(host_.status(), host_.status() + host_.count, from, BatchState::code(to));
  }

  void report() {
    for (Index k = 0; k < host_.count; ++k) {
      CgBatchSystem& system = systems_[static_cast<std::size_t>(k)];
      system.status = static_cast<Status>(static_cast<int>(status(k)));
      system.iterations = static_cast<Index>(host_.iterations()[k]);
      system.residual = host_.residual()[k];
      system.target = host_.target()[k];
    }
    out_.seconds = clock_.seconds();
  }

  S& space_;
  const Op& A_;
  BlockView<const T> B_;
  CgBatchWorkspace<S>& ws_;
  BatchState host_;
  CgBatchData<T> data_;
  CgBatchOptions opt_;
  Monitor monitor_;
  std::span<CgBatchSystem> systems_;
  CgBatchOutcome out_;
  std::optional<Status> stop_;
  Clock clock_;
};

/// Solves A_k x_k = b_k for the columns of B and X; `diagonals` are those of M ≈ A⁻¹, or empty. A
/// system's iterates are those of `cg` on it alone, its count of iterations as well. `max_products`
/// of the monitor counts columns; where reads are not free, products of up to `check_every`
/// iterations may follow the last one that changes anything.
///
/// Cost: an iteration is one product of all systems and 10 passes over a vector each (15 with M);
/// one product to start from x, one to verify. Memory: three vectors and five numbers a system.
template <BatchSpace S, BatchOperator<typename S::Value> Op>
CgBatchOutcome cg_batch(S& space, const Op& A, BlockView<const typename S::Value> B,
                        BlockView<typename S::Value> X, CgBatchWorkspace<S>& ws,
                        std::span<CgBatchSystem> systems, const CgBatchOptions& opt = {},
                        const Monitor& monitor = {},
                        BlockView<const typename S::Value> diagonals = {}) {
  check_tolerance("rtol", opt.rtol);
  check_tolerance("atol", opt.atol);
  const auto check = [&](const char* name, Index rows, Index cols) {
    if (rows == B.rows && cols == B.cols) return;
    throw InvalidArgument(std::string(name) + " has " + std::to_string(cols) + " systems of " +
                          std::to_string(rows) + " elements; B has " + std::to_string(B.cols) +
                          " of " + std::to_string(B.rows));
  };
  check("A", A.rows(), A.count());
  check("X", X.rows, X.cols);
  check("systems", B.rows, static_cast<Index>(systems.size()));
  if (diagonals.cols > 0) check("M", diagonals.rows, diagonals.cols);
  std::fill(systems.begin(), systems.end(), CgBatchSystem{});
  if (B.cols == 0) return {};
  ws.prepare(space, B.rows, B.cols);
  return CgBatchRun<S, Op>(space, A, B, X, diagonals, ws, opt, monitor, systems).finish();
}

}  // namespace ritz
