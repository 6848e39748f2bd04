// The Krylov processes: A V_k = V_{k+1} T, and V orthonormal to 10 eps √k.
#include <doctest/doctest.h>

#include "problems.hpp"
#include "ritz/krylov/arnoldi.hpp"
#include "ritz/krylov/lanczos.hpp"

using namespace ritz;
using namespace ritz::testing;

namespace {

/// max |VᴴV − I|
template <class T>
double loss_of_orthogonality(BlockView<const T> V) {
  double worst = 0.0;
  for (Index i = 0; i < V.cols; ++i) {
    for (Index j = 0; j < V.cols; ++j) {
      Long<T> sum{};
      for (Index l = 0; l < V.rows; ++l) sum += conj_long(lengthen(V(l, i))) * lengthen(V(l, j));
      if (i == j) sum -= Long<T>(1.0L);
      worst = std::max(worst, static_cast<double>(std::abs(sum)));
    }
  }
  return worst;
}

/// max |A V_k − V_{k+1} H|, H of (k + 1) × k.
template <class T, class W>
double loss_of_relation(const Dense<T>& A, BlockView<const T> V, const std::vector<W>& H, Index k) {
  double worst = 0.0;
  for (Index j = 0; j < k; ++j) {
    for (Index i = 0; i < A.rows(); ++i) {
      Long<T> sum{};
      for (Index l = 0; l < A.cols(); ++l) sum += lengthen(A(i, l)) * lengthen(V(l, j));
      for (Index l = 0; l <= k; ++l) sum -= lengthen(V(i, l)) * Long<T>(H[at(l + j * (k + 1))]);
      worst = std::max(worst, static_cast<double>(std::abs(sum)));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE_TEMPLATE("lanczos: relation and orthonormality", S, ReferenceSpace<double>,
                   HostSpace<float>, HostSpace<std::complex<double>>) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const Index n = 200, k = 60;
  // An isolated eigenvalue is found at once: plain Lanczos loses its orthogonality there.
  auto values = geometric(n, 1e3);
  values[0] = 100.0;
  const Dense<T> A = hermitian<T>(values, 1);
  Counted counted(A);
  S space;
  std::vector<T> memory(at(n * (k + 1)));
  const BlockView<T> V{memory.data(), n, k + 1, n};
  std::vector<W> h(at(k + 1)), g(at(k + 1)), H(at((k + 1) * k));
  CHECK(random_orthonormal(space, {7, 0}, BlockView<const T>(V.columns(0, 0)), V.column(0),
                           std::span(h), std::span(g)) > 0.0);
  for (Index j = 0; j < k; ++j) {
    const LanczosStep step = lanczos_step(space, counted, V, j, std::span(h), std::span(g));
    H[at(j + j * (k + 1))] = step.alpha;
    H[at(j + 1 + j * (k + 1))] = step.beta;
    if (j + 1 < k) H[at(j + (j + 1) * (k + 1))] = step.beta;
  }
  CHECK(loss_of_orthogonality(BlockView<const T>(V)) <=
        10 * kEps<T> * std::sqrt(static_cast<double>(k)));
  CHECK(loss_of_relation(A, BlockView<const T>(V), H, k) <= 100 * kEps<T> * 100.0);
  CHECK(counted.counts.apply == k);
}

TEST_CASE_TEMPLATE("arnoldi: relation and orthonormality", S, ReferenceSpace<double>,
                   HostSpace<float>, HostSpace<std::complex<double>>) {
  using T = typename S::Value;
  using W = WideOf<T>;
  const Index n = 200, k = 60;
  // Singular values from 1 to 1e-10: one pass of Gram-Schmidt would lose everything.
  const Dense<T> A = with_values<T>(n, geometric(n, 1e10), false, 2);
  S space;
  std::vector<T> memory(at(n * (k + 1)));
  const BlockView<T> V{memory.data(), n, k + 1, n};
  std::vector<W> slots(at(2 * (k + 1))), h(at(2 * (k + 1))), H(at((k + 1) * k));
  const auto start = gaussian<T>(n, 3);
  std::copy(start.begin(), start.end(), V.column(0).begin());
  space.scale(1.0 / norm(start), V.column(0));
  for (Index j = 0; j < k; ++j) {
    A.apply(V.column(j), V.column(j + 1));
    const ArnoldiStep step = arnoldi_step(space, BlockView<const T>(V.columns(0, j + 1)),
                                          V.column(j + 1), std::span(slots), std::span(h));
    std::copy_n(h.begin(), j + 1, H.begin() + j * (k + 1));
    H[at(j + 1 + j * (k + 1))] = step.beta;
    CHECK(step.beta > 0.0);
  }
  CHECK(loss_of_orthogonality(BlockView<const T>(V)) <=
        10 * kEps<T> * std::sqrt(static_cast<double>(k)));
  CHECK(loss_of_relation(A, BlockView<const T>(V), H, k) <= 100 * kEps<T>);
}
