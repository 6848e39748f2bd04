// One run of a method on A x = b: its products, its observer and its endings, apart from its
// recurrence.
//
// A method is a coroutine over a run. `co_await run.A.apply(p, q)` is a product; where the run
// pauses at products, somebody else may make it, together with those of other right-hand sides.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ritz/core/arena.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/monitor.hpp"
#include "ritz/core/task.hpp"
#include "ritz/krylov/right_hand_side.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// Stands for M = I and costs nothing.
struct NoPreconditioner {};

/// Where a run pauses, and what it waits for there.
template <Field T>
struct Pause {
  enum class Reason { start, iteration, apply, apply_adjoint, precondition };

  bool at_iterations = false;
  bool at_products = false;
  bool stop = false;  ///< set while paused at an iteration: ends the run with Status::stopped
  Reason reason = Reason::start;
  std::coroutine_handle<> here;
  VectorView<const T> in;  ///< at a product: out = A in is to be written
  VectorView<T> out;
};

/// An operator whose products can be awaited.
template <Field T, class A>
class Products {
  using Reason = typename Pause<T>::Reason;

  struct Awaited {
    Pause<T>* pause;  // null: the product has been made
    Reason reason;
    VectorView<const T> x;
    VectorView<T> y;

    bool await_ready() const { return pause == nullptr; }
    void await_suspend(std::coroutine_handle<> here) const {
      pause->reason = reason;
      pause->here = here;
      pause->in = x;
      pause->out = y;
    }
    void await_resume() const {}
  };

 public:
  Products(const A& a, Pause<T>& pause, Index& applied, Index& adjoint, Reason reason)
      : a_(&a), pause_(&pause), applied_(&applied), adjoint_(&adjoint), reason_(reason) {}

  /// Whether there is one: always, but for a preconditioner.
  constexpr explicit operator bool() const {
    if constexpr (std::same_as<A, NoPreconditioner>) {
      return false;
    } else if constexpr (requires { static_cast<bool>(*a_); }) {
      return static_cast<bool>(*a_);
    } else {
      return true;
    }
  }

  /// y = A x
  Awaited apply(VectorView<const T> x, VectorView<T> y) const {
    ++*applied_;
    if (pause_->at_products) return {pause_, reason_, x, y};
    if constexpr (!std::same_as<A, NoPreconditioner>) a_->apply(x, y);
    return {nullptr, reason_, x, y};
  }
  /// y = Aᴴ x
  Awaited apply_adjoint(VectorView<const T> x, VectorView<T> y) const {
    ++*adjoint_;
    if (pause_->at_products) return {pause_, Reason::apply_adjoint, x, y};
    if constexpr (AdjointOperator<A, T>) a_->apply_adjoint(x, y);
    return {nullptr, Reason::apply_adjoint, x, y};
  }

 private:
  const A* a_;
  Pause<T>* pause_;
  Index* applied_;
  Index* adjoint_;
  Reason reason_;
};

/// What a run is given; everything referred to must outlive it.
template <Space S, class Op, class P>
struct Problem {
  S& space;
  const Op& A;
  const P& M;
  VectorView<const typename S::Value> b;
  VectorView<typename S::Value> x;
  FrameStack& frames;
  const Monitor& monitor;
};

/// What runs of every kind share.
template <Space S, class Op, class P>
class Run {
 public:
  using T = typename S::Value;
  using Vector = VectorView<T>;

  Run(const Problem<S, Op, P>& given, Outcome& out)
      : space(given.space),
        b(given.b),
        x(given.x),
        A(given.A, pause, out.products.apply, out.products.adjoint, Pause<T>::Reason::apply),
        M(given.M, pause, out.preconditioner, out.preconditioner, Pause<T>::Reason::precondition),
        frames_(&given.frames),
        monitor_(given.monitor),
        out_(out) {
    check_size("b", b.size, given.A.rows());
    check_size("x", x.size, given.A.cols());
    if (M) check_preconditioner(given.M);
  }
  Run(const Run&) = delete;
  ~Run() { space.thaw(); }

  FrameStack& frames() const { return *frames_; }
  double seconds() const { return clock_.seconds(); }
  bool ended() const { return ended_; }

  /// Ends the run; the method returns as soon as it can. False, for `co_return run.end(…)`.
  bool end(Status status) {
    out_.status = status;
    out_.seconds = clock_.seconds();
    ended_ = true;
    return false;
  }

  S& space;
  VectorView<const T> b;
  Vector x;
  Pause<T> pause;
  const Products<T, Op> A;
  const Products<T, P> M;
  /// A direction d with dᴴAd ≤ 0, if the method met one; in the workspace.
  VectorView<const T> direction;

 protected:
  using Awaiting = std::coroutine_handle<>;

  /// What a method awaits after each iteration: whether to make another.
  struct Iterated {
    Run& run;
    bool go_on;

    bool await_ready() const { return !run.pause.at_iterations; }
    void await_suspend(Awaiting here) const {
      run.pause.reason = Pause<T>::Reason::iteration;
      run.pause.here = here;
    }
    bool await_resume() const {
      if (run.pause.stop && !run.ended_) return run.end(Status::stopped);
      return go_on;
    }
  };

  /// Tells the observer; a status if it, the clock or the budget of products wants the run to end.
  std::optional<Status> watch(double residual, VectorView<const T> iterate) {
    Iteration now;
    now.iteration = out_.iterations;
    now.products = out_.products;
    now.residual = residual;
    now.x = iterate.data;
    now.size = iterate.size;
    now.clock = &clock_;
    return monitor_.check(now);
  }

  FrameStack* frames_;
  Monitor monitor_;
  Outcome& out_;
  Clock clock_;
  bool ended_ = false;

 private:
  void check_preconditioner(const P& m) const {
    if constexpr (!std::same_as<P, NoPreconditioner>) {
      if (m.rows() == x.size && m.cols() == x.size) return;
      throw InvalidArgument("M has shape (" + std::to_string(m.rows()) + ", " +
                            std::to_string(m.cols()) +
                            "); it must have as many rows and columns "
                            "as A has columns, " +
                            std::to_string(x.size));
    }
  }
};

/// Moves x, an element of the working precision, into a solution X of a higher one: X += x, x = 0,
/// r = b − A X rounded once; returns ‖r‖.
template <Field T>
using Accumulate = function_ref<double(VectorView<T> x, VectorView<T> r)>;

/// A run that can be paused, whatever its method and operator are.
template <Field T>
class AbstractStepper {
 public:
  virtual ~AbstractStepper() = default;
  /// Goes on to the next pause; false once the run has ended.
  virtual bool next() = 0;
  virtual Pause<T>& pause() = 0;
  virtual const Outcome& outcome() = 0;
  /// Numbers of the outcome that this method has beyond the others'.
  virtual void more(function_ref<void(const char*, double)> visit) const = 0;
  /// A direction of negative curvature, or an empty view.
  virtual VectorView<const T> direction() const = 0;
  /// Keeps x in a higher precision than the vectors; before the first step.
  virtual void accumulate_with(Accumulate<T> accumulate) = 0;
};

/// A run of `Method`, which names its Options, Outcome, Workspace and Run, has
/// `static Task<> steps(run, workspace, options, outcome)`, and says `kAnyShape` if A need not be
/// square.
template <class Method, Space S, class Op, class P = NoPreconditioner>
class Stepper final : public AbstractStepper<typename S::Value> {
 public:
  using T = typename S::Value;
  using Options = typename Method::Options;
  using Workspace = typename Method::template Workspace<S>;

  /// Everything given must outlive it.
  Stepper(S& space, const Op& a, VectorView<const T> b, VectorView<T> x, Workspace& ws,
          const Options& opt = {}, const Monitor& monitor = {}, const P& m = {})
      : options_(opt),
        run_({space, checked(a), m, b, x, ws.frames, monitor}, options_, out_),
        task_(start(space, ws)) {
    run_.pause.here = task_.handle();
  }

  bool next() override {
    if (task_.done()) return false;
    run_.pause.here.resume();
    if (!task_.done()) return true;
    task_.result();
    return false;
  }
  Pause<T>& pause() override { return run_.pause; }
  const Outcome& outcome() override {
    if (!run_.ended()) out_.seconds = run_.seconds();
    return out_;
  }
  void more(function_ref<void(const char*, double)> visit) const override {
    if constexpr (requires { out_.visit(visit); }) out_.visit(visit);
  }
  VectorView<const T> direction() const override { return run_.direction; }
  void accumulate_with(Accumulate<T> accumulate) override {
    if constexpr (requires { run_.accumulate; }) {
      run_.accumulate = accumulate;
    } else {
      throw InvalidArgument(std::string(Method::kName) + " keeps x in the vectors' own precision");
    }
  }

  /// Runs to the end.
  typename Method::Outcome finish() {
    while (next()) {
    }
    return out_;
  }

 private:
  static const Op& checked(const Op& a) {
    if constexpr (!requires { Method::kAnyShape; }) {
      if (a.rows() != a.cols()) {
        throw InvalidArgument("A must be square for " + std::string(Method::kName) + ": it has " +
                              std::to_string(a.rows()) + " rows and " + std::to_string(a.cols()) +
                              " columns");
      }
    }
    return a;
  }
  Task<> start(S& space, Workspace& ws) {
    ws.prepare(space, run_.b.size, run_.x.size, options_, static_cast<bool>(run_.M));
    return Method::steps(run_, ws, options_, out_);
  }

  Options options_;
  typename Method::Outcome out_;
  typename Method::template Run<S, Op, P> run_;
  Task<> task_;
};

}  // namespace ritz
