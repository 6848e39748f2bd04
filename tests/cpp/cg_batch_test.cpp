// Conjugate gradients on batches: against elimination, and against `cg` on each system alone, over
// the host, the reference and the device that RITZ_CUDA_LIBRARY names.
#include "ritz/krylov/cg_batch.hpp"

#include <doctest/doctest.h>

#include <array>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "allocation_counter.hpp"
#include "device_memory.hpp"
#include "ritz/krylov/cg.hpp"
#include "ritz/op/algebra.hpp"

namespace ritz::testing {
namespace {

static_assert(BatchSpace<HostSpace<float>> && BatchSpace<ReferenceSpace<std::complex<double>>> &&
              BatchSpace<CudaSpace<double>> && BatchSpace<CudaSpace<std::complex<float>>>);

template <Field T>
constexpr double kTight = std::same_as<RealOf<T>, float> ? 1e-4 : 1e-10;

/// Systems of different condition, so that each ends at an iteration of its own.
template <Field T>
struct Systems {
  Index n, count;
  std::vector<Dense<T>> A;
  std::vector<T> matrices, b, d, x0;  // the matrices by rows

  Systems(Index rows, Index systems, std::uint64_t seed = 1)
      : n(rows),
        count(systems),
        matrices(at(rows * rows * systems)),
        b(gaussian<T>(rows * systems, seed)),
        d(at(rows * systems)),
        x0(gaussian<T>(rows * systems, seed + 1)) {
    for (Index k = 0; k < count; ++k) {
      set(k, hermitian<T>(geometric(n, 1.5 + static_cast<double>(k % 7)),
                          seed + 10 * static_cast<std::uint64_t>(k)));
    }
    for (Index i = 0; i < n * count; ++i) {
      d[at(i)] = static_cast<T>(static_cast<RealOf<T>>(1.0 + 0.1 * static_cast<double>(i % 5)));
    }
  }
  void set(Index k, const Dense<T>& matrix) {
    if (static_cast<Index>(A.size()) <= k) A.resize(at(k + 1), matrix);
    A[at(k)] = matrix;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) matrices[at((k * n + i) * n + j)] = matrix(i, j);
    }
  }
  std::vector<T> right(Index k) const { return part(b, k); }
  std::vector<T> part(const std::vector<T>& v, Index k) const {
    return {v.begin() + k * n, v.begin() + (k + 1) * n};
  }
  std::vector<T> solution(Index k) const {
    std::vector<Long<T>> matrix, right_side;
    for (const T& a : A[at(k)].a) matrix.push_back(lengthen(a));
    for (const T& a : right(k)) right_side.push_back(lengthen(a));
    std::vector<T> x;
    for (const auto& a : eliminate(matrix, right_side)) x.push_back(static_cast<T>(a));
    return x;
  }
};

template <Field T>
struct Solved {
  std::vector<T> x;
  std::vector<CgBatchSystem> systems;
  CgBatchOutcome outcome;
};

/// Vectors where the space has them.
template <class S>
struct Memory {
  using T = typename S::Value;
  std::vector<T> values;

  Memory(S&, std::vector<T> from) : values(std::move(from)) {}
  T* data() { return values.data(); }
  std::vector<T> host() const { return values; }
};
template <Field T>
struct Memory<CudaSpace<T>> {
  DeviceVector<T> values;

  Memory(CudaSpace<T>& space, const std::vector<T>& from) : values(space, from) {}
  T* data() { return values.data(); }
  std::vector<T> host() const { return values.host(); }
};
template <class S>
S make_space() {
  if constexpr (S::kReadsAreFree) {
    return S();
  } else {
    return S(0);
  }
}

template <class S>
class Runner {
 public:
  using T = typename S::Value;
  explicit Runner(const Systems<T>& given) : given_(given) {}

  bool preconditioned = false;
  Monitor monitor;

  Solved<T> operator()(CgBatchOptions opt) {
    S space = make_space<S>();
    const Index n = given_.n, count = given_.count;
    Memory<S> matrices(space, given_.matrices), b(space, given_.b), d(space, given_.d);
    Memory<S> x(space, opt.warm_start
                           ? given_.x0
                           : std::vector<T>(at(n * count), static_cast<T>(std::nan(""))));
    Solved<T> solved;
    solved.systems.resize(at(count));
    BlockView<const T> D;
    if (preconditioned) D = {d.data(), n, count, n};
    CgBatchWorkspace<S> ws;
    solved.outcome =
        cg_batch(space, DenseBatch<S>(space, matrices.data(), count, n),
                 BlockView<const T>{b.data(), n, count, n}, BlockView<T>{x.data(), n, count, n}, ws,
                 std::span<CgBatchSystem>(solved.systems), opt, monitor, D);
    solved.x = x.host();
    return solved;
  }

 private:
  const Systems<T>& given_;
};

#if defined(__SANITIZE_ADDRESS__)
using BatchSpaces = std::tuple<ReferenceSpace<double>, HostSpace<float>,
                               HostSpace<std::complex<double>>, CudaSpace<double>>;
#else
using BatchSpaces = std::tuple<ReferenceSpace<float>, ReferenceSpace<std::complex<double>>,
                               HostSpace<float>, HostSpace<double>, HostSpace<std::complex<float>>,
                               HostSpace<std::complex<double>>, CudaSpace<float>, CudaSpace<double>,
                               CudaSpace<std::complex<float>>, CudaSpace<std::complex<double>>>;
#endif
using EachKind = std::tuple<ReferenceSpace<double>, HostSpace<double>, CudaSpace<double>>;

template <Field T>
CgBatchOptions tight() {
  CgBatchOptions opt;
  opt.rtol = kTight<T>;
  return opt;
}

TEST_SUITE_BEGIN("kernels");

TEST_CASE_TEMPLATE_DEFINE("every system is solved", S, batch_solves) {
  using T = typename S::Value;
  const Systems<T> given(23, 37);
  for (const int how : {0, 1, 2}) {
    CAPTURE(how);
    Runner<S> run(given);
    run.preconditioned = how == 1;
    CgBatchOptions opt = tight<T>();
    opt.warm_start = how == 2;
    const Solved<T> solved = run(opt);
    for (Index k = 0; k < given.count; ++k) {
      CAPTURE(k);
      const CgBatchSystem& s = solved.systems[at(k)];
      const std::vector<T> exact = given.solution(k), x = given.part(solved.x, k),
                           b = given.right(k);
      CHECK(s.status == Status::converged);
      CHECK(s.verified);
      CHECK(s.iterations > 3);
      CHECK(s.target == doctest::Approx(opt.rtol * norm(b)));
      CHECK(s.residual <= s.target);
      CHECK(std::abs(residual_norm(given.A[at(k)], x, b) - s.residual) <= 40 * kEps<T> * norm(b));
      CHECK(distance(x, exact) <= 10 * s.target);
    }
    // Systems of different condition end by themselves.
    CHECK(solved.systems[0].iterations < solved.systems[6].iterations);
    Index most = 0;
    for (const CgBatchSystem& s : solved.systems) most = std::max(most, s.iterations);
    const Index rounded = S::kReadsAreFree ? most : (most + 9) / 10 * 10;
    CHECK(solved.outcome.iterations == rounded);
    CHECK(solved.outcome.products == rounded + 1 + (how == 2 ? 1 : 0));
  }
}
TEST_CASE_TEMPLATE_APPLY(batch_solves, BatchSpaces);

TEST_CASE_TEMPLATE_DEFINE("systems of every size, and more than a launch has blocks", S,
                          batch_sizes) {
  using T = typename S::Value;
  for (const auto& [n, count] : {std::array<Index, 2>{1, 1}, {1, 70}, {300, 3}, {2, 33}, {33, 2}}) {
    CAPTURE(n);
    CAPTURE(count);
    const Systems<T> given(n, count, 3);
    const Solved<T> solved = Runner<S>(given)(tight<T>());
    for (Index k = 0; k < count; ++k) {
      CHECK(solved.systems[at(k)].status == Status::converged);
      CHECK(residual_norm(given.A[at(k)], given.part(solved.x, k), given.right(k)) <=
            1.01 * solved.systems[at(k)].target + 40 * kEps<T> * norm(given.right(k)));
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(batch_sizes, EachKind);

TEST_CASE_TEMPLATE_DEFINE("what ends a system leaves the others alone", S, batch_endings) {
  using T = typename S::Value;
  const Index n = 20, count = 9;
  Systems<T> given(n, count);
  const auto clean = Runner<S>(given)(tight<T>());
  // Indefinite from the first step on, NaN, b = 0, not finite b, singular along b.
  std::vector<double> values = geometric(n, 4.0);
  given.set(1, hermitian<T>(values, 5).scaled(-1.0));
  given.A[2](3, 3) = static_cast<T>(std::nan(""));
  given.set(2, given.A[2]);
  std::fill_n(given.b.begin() + 3 * n, n, T{});
  given.b[at(4 * n + 7)] = static_cast<T>(INFINITY);
  given.set(5, Dense<T>(n, n));
  values.back() = -values.back();
  given.set(6, hermitian<T>(values, 6));
  const auto solved = Runner<S>(given)(tight<T>());
  const auto status = [&](Index k) { return solved.systems[at(k)].status; };
  CHECK(status(1) == Status::negative_curvature);
  CHECK(solved.systems[1].iterations == 0);
  CHECK(solved.systems[1].residual == doctest::Approx(norm(given.right(1))));
  CHECK(given.part(solved.x, 1) == std::vector<T>(at(n)));
  CHECK(status(2) == Status::nonfinite);
  CHECK(solved.systems[2].iterations == 1);
  CHECK(all_finite(given.part(solved.x, 2)));
  CHECK(status(3) == Status::converged);
  CHECK(solved.systems[3].iterations == 0);
  CHECK(solved.systems[3].verified);
  CHECK(given.part(solved.x, 3) == std::vector<T>(at(n)));
  CHECK(status(4) == Status::nonfinite);
  CHECK(status(5) == Status::negative_curvature);
  CHECK(status(6) == Status::negative_curvature);
  CHECK(solved.systems[6].iterations > 0);
  CHECK(all_finite(given.part(solved.x, 6)));
  for (const Index k : {Index{0}, Index{7}, Index{8}}) {
    CAPTURE(k);
    CHECK(status(k) == Status::converged);
    CHECK(solved.systems[at(k)].iterations == clean.systems[at(k)].iterations);
    CHECK(given.part(solved.x, k) == given.part(clean.x, k));
  }
}
TEST_CASE_TEMPLATE_APPLY(batch_endings, EachKind);

TEST_CASE_TEMPLATE_DEFINE("a system that has ended changes nothing", S, batch_frozen) {
  using T = typename S::Value;
  const Index n = 30, count = 5;
  S space = make_space<S>();
  Systems<T> given(n, count);
  Memory<S> x(space, given.x0), p(space, gaussian<T>(n * count, 5)),
      q(space, gaussian<T>(n * count, 5)), r(space, gaussian<T>(n * count, 7));
  Memory<S> before_p(space, p.host());
  const double converged = BatchState::code(Status::converged);
  const std::vector<double> state{BatchState::kRunning,
                                  BatchState::kClaimed,
                                  converged,
                                  BatchState::kRunning,
                                  BatchState::code(Status::timeout),
                                  1,
                                  2,
                                  3,
                                  4,
                                  5,  // ‖r‖
                                  7,
                                  8,
                                  9,
                                  6,
                                  5,  // iterations
                                  1,
                                  1,
                                  1,
                                  1,
                                  1,  // ρ
                                  0,
                                  0,
                                  0,
                                  1e30,
                                  0};
  const auto numbers = space.allocate(state.size() * sizeof(double));
  auto* const there = static_cast<double*>(numbers.get());
  write_numbers(space, there, std::span<const double>(state));
  const auto block = [&](Memory<S>& v) { return BlockView<T>{v.data(), n, count, n}; };
  cg_batch_step(
      space,
      CgBatchData<T>{block(x), block(p), block(q), block(r), {}, BatchState{there, count}, 8});
  std::vector<double> after(state.size());
  read_numbers(space, there, std::span<double>(after));
  for (const Index k : {1, 2, 4}) {
    for (Index row = 0; row < BatchState::kArrays; ++row) {
      CHECK(after[at(row * count + k)] == state[at(row * count + k)]);
    }
    CHECK(given.part(x.host(), k) == given.part(given.x0, k));
    CHECK(given.part(p.host(), k) == given.part(before_p.host(), k));
  }
  CHECK(after[0] == BatchState::code(Status::max_iterations));  // 8 of 8
  CHECK(after[3] == BatchState::kClaimed);
  CHECK(after[10] == 8.0);
  CHECK(after[13] == 7.0);
  CHECK(given.part(x.host(), 0) != given.part(given.x0, 0));
}
TEST_CASE_TEMPLATE_APPLY(batch_frozen, EachKind);

TEST_CASE_TEMPLATE_DEFINE("dense products of the selected systems alone", S, batch_products) {
  using T = typename S::Value;
  const Index n = 37, count = 40;
  S space = make_space<S>();
  const Systems<T> given(n, count);
  const std::vector<T> before = gaussian<T>(n * count, 9);
  Memory<S> matrices(space, given.matrices), x(space, given.b), y(space, before);
  std::vector<double> status(at(count));
  for (Index k = 0; k < count; ++k) status[at(k)] = k % 3 == 0 ? -1.0 : -2.0;
  const auto memory = space.allocate(status.size() * sizeof(double));
  auto* const there = static_cast<double*>(memory.get());
  write_numbers(space, there, std::span<const double>(status));
  const DenseBatch<S> A(space, matrices.data(), count, n);
  const BlockView<const T> X{x.data(), n, count, n};
  const auto compare = [&](bool all) {
    const std::vector<T> came = y.host();
    for (Index k = 0; k < count; ++k) {
      CAPTURE(k);
      const std::vector<T> b = given.right(k), part = given.part(came, k);
      std::vector<T> expected = given.part(before, k);
      if (all || k % 3 == 0) given.A[at(k)].apply(view(b), view(expected));
      CHECK(distance(part, expected) <= 4 * kEps<T> * norm(b));
    }
  };
  A.apply_batch(X, {y.data(), n, count, n}, {there, -1.0});
  compare(false);
  A.apply_batch(X, {y.data(), n, count, n}, {});
  compare(true);
}
TEST_CASE_TEMPLATE_APPLY(batch_products, BatchSpaces);

TEST_SUITE_END();

// ---- a batch is a loop ----

template <Field T>
struct Rows {  // one matrix of the batch
  const Systems<T>& given;
  Index k;
  Index rows() const { return given.n; }
  Index cols() const { return given.n; }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    DenseMatrix<T>(given.matrices.data() + k * given.n * given.n, given.n, given.n, given.n, true)
        .apply(x, y);
  }
};

TEST_CASE_TEMPLATE_DEFINE("a batch has the bits of a loop", S, batch_loop) {
  using T = typename S::Value;
  Systems<T> given(41, 16);
  // One that fails, and ones that cannot meet the tolerance.
  given.set(3, hermitian<T>(geometric(41, 3.0), 3).scaled(-1.0));
  given.set(4, hermitian<T>(geometric(41, 1e6), 4));
  for (const int how : {0, 1, 2, 3, 4}) {
    CAPTURE(how);
    CgBatchOptions opt = tight<T>();
    opt.warm_start = how == 2;
    if (how == 3) opt.rtol = 0.01 * kEps<T>;
    if (how == 4) opt.max_iterations = 5;
    Runner<S> run(given);
    run.preconditioned = how == 1;
    const auto solved = run(opt);
    opt.look_every = 7;
    const auto one_by_one = run(opt);
    CHECK(same_bits(one_by_one.x, solved.x));
    CHECK(one_by_one.outcome.products == solved.outcome.products);
    CHECK(one_by_one.outcome.iterations == solved.outcome.iterations);
    S space;
    for (Index k = 0; k < given.count; ++k) {
      CAPTURE(k);
      std::vector<T> x = given.part(given.x0, k), d = given.part(given.d, k);
      const std::vector<T> b = given.right(k);
      CgOptions alone;
      static_cast<LinearOptions&>(alone) = opt;
      CgWorkspace<S> ws;
      const Rows<T> A{given, k};
      const Diagonal<S> M(space, view(std::as_const(d)));
      const CgOutcome out = run.preconditioned ? cg(space, A, view(b), view(x), ws, alone, {}, M)
                                               : cg(space, A, view(b), view(x), ws, alone);
      const CgBatchSystem& s = solved.systems[at(k)];
      CHECK(s.status == out.status);
      CHECK(s.iterations == out.iterations);
      CHECK(s.residual == out.residual);
      CHECK(s.target == out.target);
      CHECK(s.verified == out.verified);
      CHECK(given.part(solved.x, k) == x);
    }
    if (how == 3) CHECK(solved.systems[0].status == Status::precision_limit);
    if (how == 4) CHECK(solved.systems[4].status == Status::max_iterations);
  }
}
TEST_CASE_TEMPLATE_APPLY(batch_loop, HostSpaces);
TEST_CASE_TEMPLATE_INVOKE(batch_loop, ReferenceSpace<double>);

TEST_CASE("the same bits for any number of threads") {
  using T = double;
  const Systems<T> given(60, 400);
  threads::set_num_threads(1);
  const auto once = Runner<HostSpace<T>>(given)(tight<T>());
  threads::set_num_threads(4);
  for (const Index at_a_time : {1, 16}) {
    CgBatchOptions opt = tight<T>();
    opt.look_every = at_a_time;
    const auto again = Runner<HostSpace<T>>(given)(opt);
    CHECK(once.x == again.x);
    CHECK(once.outcome.products == again.outcome.products);
  }
  threads::set_num_threads(1);
}

// ---- limits, functions, memory ----

TEST_CASE_TEMPLATE_DEFINE("limits end the batch, and say so of each system", S, batch_limits) {
  using T = typename S::Value;
  Systems<T> given(40, 8);
  given.set(0, hermitian<T>(std::vector<double>(40, 1.0), 1));  // one step
  Runner<S> run(given);
  const auto stop_at = [](const Iteration& it) { return it.iteration >= 3; };
  run.monitor.observer = stop_at;
  run.monitor.check_every = 1;
  auto solved = run(tight<T>());
  CHECK(solved.outcome.iterations == 3);
  CHECK(solved.systems[0].status == Status::converged);
  CHECK(solved.systems[0].verified);
  CHECK(solved.systems[0].iterations <= 2);
  CHECK(solved.systems[6].status == Status::stopped);
  CHECK(solved.systems[6].iterations == 3);
  CHECK(!solved.systems[6].verified);

  run.monitor.observer = {};
  run.monitor.max_products = 4 * given.count;
  solved = run(tight<T>());
  CHECK(solved.outcome.products == 5);  // one to verify
  CHECK(solved.systems[6].status == Status::max_products);

  run.monitor = {};
  CgBatchOptions opt = tight<T>();
  opt.verify = false;
  opt.max_iterations = 7;
  solved = run(opt);
  CHECK(solved.systems[0].status == Status::converged);
  CHECK(!solved.systems[0].verified);
  CHECK(solved.systems[6].status == Status::max_iterations);
  CHECK(solved.systems[6].iterations == 7);
  CHECK(solved.outcome.products == 7);

  opt = tight<T>();
  run.preconditioned = true;
  given.d[at(5 * 40)] = -1e6;
  solved = run(opt);
  CHECK(solved.systems[5].status == Status::indefinite_preconditioner);
  CHECK(solved.systems[4].status == Status::converged);
}
TEST_CASE_TEMPLATE_APPLY(batch_limits, EachKind);

/// The identity, but for the products that claims are checked by.
struct Untrue {
  double error;
  Index rows() const { return 4; }
  Index count() const { return 2; }
  void apply_batch(BlockView<const double> X, BlockView<double> Y, BatchSelection selected) const {
    const bool checks = selected.wanted == BatchState::kClaimed;
    for (Index k = 0; k < 2; ++k) {
      const double factor = checks && k == 1 ? 1.0 + error : 1.0;
      for (Index i = 0; i < 4; ++i) Y(i, k) = factor * X(i, k);
    }
  }
};

TEST_CASE("a claim that the true residual refutes") {
  HostSpace<double> space;
  const std::vector<double> b(8, 1.0);
  std::vector<double> x(8);
  CgBatchWorkspace<HostSpace<double>> ws;
  std::vector<CgBatchSystem> systems(2);
  Monitor monitor;
  const auto solve = [&](double error, Index limit) {
    CgBatchOptions opt;
    opt.max_iterations = limit;
    return cg_batch(space, Untrue{error}, BlockView<const double>{b.data(), 4, 2, 4},
                    BlockView<double>{x.data(), 4, 2, 4}, ws, std::span<CgBatchSystem>(systems),
                    opt, monitor);
  };
  // Each restart leaves a share of the error, until one leaves nothing to do.
  CHECK(solve(1e-3, 0).products == 4);
  CHECK(systems[0].iterations == 1);
  CHECK(systems[1].status == Status::converged);
  CHECK(systems[1].iterations == 2);
  solve(1e-3, 1);
  CHECK(systems[0].status == Status::converged);
  CHECK(systems[1].status == Status::max_iterations);
  CHECK(systems[1].verified);
  CHECK(systems[1].residual == doctest::Approx(2e-3));
  solve(-2.0, 0);
  CHECK(systems[0].status == Status::converged);
  CHECK(systems[1].status == Status::precision_limit);
  const auto stop = [](const Iteration&) { return true; };
  monitor.observer = stop;
  CHECK(solve(1e-3, 0).products == 2);
  CHECK(systems[0].status == Status::converged);
  CHECK(systems[1].status == Status::stopped);
  CHECK(systems[1].verified);
}

TEST_CASE("wrong sizes and units are named") {
  using T = double;
  HostSpace<T> space;
  Systems<T> given(4, 3);
  CgBatchWorkspace<HostSpace<T>> ws;
  std::vector<T> x(12);
  std::vector<CgBatchSystem> systems(3);
  const DenseBatch<HostSpace<T>> A(space, given.matrices.data(), 3, 4);
  const BlockView<const T> B{given.b.data(), 4, 3, 4};
  const auto solve = [&](BlockView<T> X, BlockView<const T> D = {}) {
    cg_batch(space, A, B, X, ws, std::span<CgBatchSystem>(systems), {}, {}, D);
  };
  CHECK_THROWS_WITH_AS(solve({x.data(), 3, 3, 4}), "X has 3 systems of 3 elements; B has 3 of 4",
                       InvalidArgument);
  CHECK_THROWS_AS(solve({x.data(), 4, 3, 4}, BlockView<const T>{x.data(), 4, 2, 4}),
                  InvalidArgument);
  for (Index i = 4; i < 8; ++i) given.b[at(i)] *= 1e-200;
  CHECK_THROWS_WITH_AS(solve({x.data(), 4, 3, 4}),
                       "system 1: b is so small that its norm underflows: scale b up",
                       InvalidArgument);
  systems.clear();
  cg_batch(space, DenseBatch<HostSpace<T>>(space, nullptr, 0, 4),
           BlockView<const T>{nullptr, 4, 0, 4}, BlockView<T>{nullptr, 4, 0, 4}, ws,
           std::span<CgBatchSystem>(systems));
}

/// A function of all systems.
template <Field T>
struct Scaled3 {
  Index size;
  Index rows() const { return size; }
  Index cols() const { return size; }
  void apply(VectorView<const T> x, VectorView<T> y) const {
    for (Index i = 0; i < x.size; ++i) y[i] = T{3} * x[i];
  }
};

TEST_CASE("functions of all systems, and views with gaps") {
  using T = double;
  HostSpace<T> space;
  const Index n = 5, count = 4, ld = 7;
  std::vector<T> b = gaussian<T>(ld * count, 3), x(at(n * count)), gaps(at(ld * count), 9.0);
  std::vector<CgBatchSystem> systems(at(count));
  CgBatchWorkspace<HostSpace<T>> ws;
  const Scaled3<T> f{n * count};
  const FlatBatch<Scaled3<T>> A(f, count, n);
  cg_batch(space, A, BlockView<const T>{b.data(), n, count, ld},
           BlockView<T>{x.data(), n, count, n}, ws, std::span<CgBatchSystem>(systems));
  for (Index k = 0; k < count; ++k) {
    CHECK(systems[at(k)].iterations == 1);
    CHECK(x[at(k * n + 2)] == doctest::Approx(b[at(k * ld + 2)] / 3.0));
  }
  CHECK_THROWS_AS(
      cg_batch(space, A, BlockView<const T>{b.data(), n, count, ld},
               BlockView<T>{gaps.data(), n, count, ld}, ws, std::span<CgBatchSystem>(systems)),
      InvalidArgument);
  Systems<T> given(n, count);
  cg_batch(space, DenseBatch<HostSpace<T>>(space, given.matrices.data(), count, n),
           BlockView<const T>{b.data(), n, count, ld}, BlockView<T>{gaps.data(), n, count, ld}, ws,
           std::span<CgBatchSystem>(systems));
  CHECK(systems[3].status == Status::converged);
  CHECK(gaps[5] == 9.0);
  CHECK(gaps[at(3 * ld)] != 9.0);
}

TEST_CASE("a second solve in the same workspace allocates nothing") {
  using T = std::complex<double>;
  const Systems<T> given(31, 20);
  HostSpace<T> space;
  CgBatchWorkspace<HostSpace<T>> ws;
  std::vector<T> x(at(given.n * given.count));
  std::vector<CgBatchSystem> systems(at(given.count));
  const auto solve = [&] {
    cg_batch(space, DenseBatch<HostSpace<T>>(space, given.matrices.data(), given.count, given.n),
             BlockView<const T>{given.b.data(), given.n, given.count, given.n},
             BlockView<T>{x.data(), given.n, given.count, given.n}, ws,
             std::span<CgBatchSystem>(systems), tight<T>());
  };
  solve();
  CHECK(ws.bytes() > 0);
  CHECK(allocations_in(solve) == 0);
  CHECK(systems[0].status == Status::converged);
}

TEST_CASE("on a device as well, and the host waits every ten iterations") {
  using T = double;
  using S = CudaSpace<T>;
  const Systems<T> given(31, 20);
  S space(0);
  CgBatchWorkspace<S> ws;
  Memory<S> matrices(space, given.matrices), b(space, given.b),
      x(space, std::vector<T>(given.b.size()));
  std::vector<CgBatchSystem> systems(at(given.count));
  CgBatchOutcome out;
  const auto solve = [&] {
    out = cg_batch(space, DenseBatch<S>(space, matrices.data(), given.count, given.n),
                   BlockView<const T>{b.data(), given.n, given.count, given.n},
                   BlockView<T>{x.data(), given.n, given.count, given.n}, ws,
                   std::span<CgBatchSystem>(systems), tight<T>());
  };
  solve();
  const auto before = device_allocations();
  const Index waits = space.queue().waits();
  solve();
  if (before) CHECK(*device_allocations() == *before);
  CHECK(space.queue().waits() - waits <= out.iterations / 10 + 4);
  CHECK(systems[0].status == Status::converged);
}

}  // namespace
}  // namespace ritz::testing
