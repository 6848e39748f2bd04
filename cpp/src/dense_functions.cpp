#include "ritz/dense/functions.hpp"

#include "dense_map.hpp"
#include "ritz/function/tridiagonal.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/SVD>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace ritz::dense {

namespace {

using Complex = std::complex<double>;
using M = Matrix<Complex>;

double norm1(const M& A) { return A.rows() > 0 ? A.cwiseAbs().colwise().sum().maxCoeff() : 0.0; }

M exponential(const M& A) {
  // The degrees of Padé approximants to use up to these norms; beyond the last, A is halved.
  constexpr std::array kDegrees = {3, 5, 7, 9, 13};
  constexpr std::array kNorms = {1.495585217958292e-2, 2.539398330063230e-1, 9.504178996162932e-1,
                                 2.097847961257068e0, 5.371920351148152e0};
  const double size = norm1(A);
  if (!std::isfinite(size)) return M::Constant(A.rows(), A.cols(), std::nan(""));
  std::size_t choice = 0;
  while (choice + 1 < kDegrees.size() && size > kNorms[choice]) ++choice;
  const int q = kDegrees[choice];
  const int halvings = std::max(0, static_cast<int>(std::ceil(std::log2(size / kNorms.back()))));
  const M X = std::ldexp(1.0, -halvings) * A, X2 = X * X;
  std::vector<double> c(1, 1.0);
  for (int j = 1; j <= q; ++j) c.push_back(c.back() * (q + 1 - j) / (j * (2.0 * q + 1 - j)));
  const M I = M::Identity(A.rows(), A.cols());
  M even = M::Zero(A.rows(), A.cols()), odd = even;
  for (int j = q - q % 2; j >= 0; j -= 2) even = X2 * even + c[static_cast<std::size_t>(j)] * I;
  for (int j = q - 1 + q % 2; j >= 1; j -= 2) odd = X2 * odd + c[static_cast<std::size_t>(j)] * I;
  odd = X * odd;
  M E = (even - odd).partialPivLu().solve(even + odd);
  for (int i = 0; i < halvings; ++i) E = E * E;
  return E;
}

/// The principal square root of an upper triangular T; false on the negative axis.
bool triangular_root(const M& T, M& R) {
  const Eigen::Index n = T.rows();
  R = M::Zero(n, n);
  for (Eigen::Index j = 0; j < n; ++j) {
    if (T(j, j).imag() == 0.0 && T(j, j).real() < 0.0) return false;
    R(j, j) = std::sqrt(T(j, j));
    for (Eigen::Index i = j - 1; i >= 0; --i) {
      Complex sum = T(i, j);
      for (Eigen::Index k = i + 1; k < j; ++k) sum -= R(i, k) * R(k, j);
      const Complex pivot = R(i, i) + R(j, j);
      if (pivot == 0.0 && sum != 0.0) return false;
      R(i, j) = pivot == 0.0 ? 0.0 : sum / pivot;
    }
  }
  return true;
}

bool root(const M& A, M& F) {
  const Eigen::ComplexSchur<M> schur(A);
  M R;
  if (schur.info() != Eigen::Success || !triangular_root(schur.matrixT(), R)) return false;
  F = schur.matrixU() * R * schur.matrixU().adjoint();
  return true;
}

bool inverse(const M& A, M& F) {
  const Eigen::PartialPivLU<M> lu(A);
  F = lu.inverse();
  return F.allFinite();
}

/// By square roots until T − I is small, and Gauss-Legendre quadrature of ∫ X (I + x X)⁻¹ dx, which
/// is the diagonal Padé approximant of log(I + X).
bool logarithm(const M& A, M& F) {
  constexpr int kNodes = 8, kRoots = 200;
  constexpr double kClose = 0.25;
  const Eigen::ComplexSchur<M> schur(A);
  if (schur.info() != Eigen::Success) return false;
  const Eigen::Index n = A.rows();
  const M I = M::Identity(n, n);
  M T = schur.matrixT(), R;
  for (Eigen::Index i = 0; i < n; ++i) {
    if (T(i, i) == 0.0 || (T(i, i).imag() == 0.0 && T(i, i).real() < 0.0)) return false;
  }
  int roots = 0;
  for (; norm1(T - I) > kClose; ++roots) {
    if (roots == kRoots || !triangular_root(T, R)) return false;
    T = R;
  }
  std::array<double, kNodes> diagonal{};
  std::array<double, kNodes> off{};
  for (std::size_t k = 1; k < kNodes; ++k) {
    const auto j = static_cast<double>(k);
    off[k - 1] = j / std::sqrt(4.0 * j * j - 1.0);
  }
  TridiagonalEigen legendre;
  legendre.compute(diagonal, std::span(off).first(kNodes - 1), 1.0, false);
  const M X = T - I;
  M sum = M::Zero(n, n);
  for (std::size_t k = 0; k < kNodes; ++k) {
    const double node = 0.5 + 0.5 * legendre.values()[k];
    const double weight = legendre.first_row()[k] * legendre.first_row()[k];
    const M shifted = I + node * X;
    sum += weight * shifted.triangularView<Eigen::Upper>().solve(X);
  }
  F = schur.matrixU() * (std::ldexp(1.0, roots) * sum) * schur.matrixU().adjoint();
  return true;
}

/// Newton's iteration, scaled by the determinant until it is close.
bool sign(const M& A, M& F) {
  constexpr int kSteps = 100;
  const double eps = std::numeric_limits<double>::epsilon();
  const auto n = static_cast<double>(A.rows());
  F = A;
  for (int step = 0; step < kSteps; ++step) {
    const Eigen::PartialPivLU<M> lu(F);
    double log_det = 0.0;
    for (Eigen::Index i = 0; i < A.rows(); ++i) log_det += std::log(std::abs(lu.matrixLU()(i, i)));
    const double mu = std::exp(-log_det / n);
    if (!std::isfinite(mu) || mu == 0.0) return false;
    const double scale = std::abs(std::log(mu)) > 0.01 ? mu : 1.0;
    const M next = 0.5 * (scale * F + lu.inverse() / scale);
    if (!next.allFinite()) return false;
    const double change = norm1(next - F);
    F = next;
    if (scale == 1.0 && change <= std::sqrt(eps) * norm1(F)) return true;
  }
  return false;
}

bool integer_power(const M& A, int p, M& F) {
  M base = A;
  if (p < 0 && !inverse(A, base)) return false;
  F = M::Identity(A.rows(), A.cols());
  for (unsigned left = static_cast<unsigned>(std::abs(p)); left > 0; left /= 2) {
    if (left % 2 == 1) F = F * base;
    base = base * base;
  }
  return true;
}

bool evaluate(const NamedFunction& f, const M& A, M& F) {
  const M tA = f.t * A;
  M T;
  switch (f.kind) {
    case Function::exp:
      F = exponential(tA);
      return true;
    case Function::log:
      return logarithm(tA, F);
    case Function::sqrt:
      return root(tA, F);
    case Function::invsqrt:
      return root(tA, T) && inverse(T, F);
    case Function::inv:
      return inverse(tA, F);
    case Function::power:
      if (f.p == std::round(f.p) && std::abs(f.p) < 1024.0) {
        return integer_power(tA, static_cast<int>(f.p), F);
      }
      if (!logarithm(tA, T)) return false;
      F = exponential(f.p * T);
      return true;
    case Function::sign:
      return sign(tA, F);
    case Function::phi:
      if (f.k != 0) return false;
      F = exponential(tA);
      return true;
    case Function::resolvent:
      return inverse(tA - f.z * M::Identity(A.rows(), A.cols()), F);
  }
  return false;
}

}  // namespace

bool function(const NamedFunction& f, BlockView<const Complex> A, BlockView<Complex> F) {
  M result;
  if (!evaluate(f, M(map(A)), result) || !result.allFinite()) return false;
  map(F) = result;
  return true;
}

bool function_column(const NamedFunction& f, BlockView<const Complex> A, std::span<Complex> y) {
  Eigen::Map<Eigen::VectorXcd> to(y.data(), A.rows);
  M result;
  if (f.kind == Function::phi && f.k > 0) {
    const Eigen::Index n = A.rows, k = f.k;
    M augmented = M::Zero(n + k, n + k);
    augmented.topLeftCorner(n, n) = f.t * map(A);
    augmented(0, n) = 1.0;
    for (Eigen::Index i = 0; i + 1 < k; ++i) augmented(n + i, n + i + 1) = 1.0;
    to = exponential(augmented).col(n + k - 1).head(n);
  } else {
    if (!evaluate(f, M(map(A)), result)) return false;
    to = result.col(0);
  }
  return to.allFinite();
}

void eigenvalues(BlockView<const Complex> A, std::span<Complex> values) {
  const Eigen::ComplexEigenSolver<M> solver(map(A), false);
  if (solver.info() != Eigen::Success) {
    std::fill(values.begin(), values.end(), Complex(std::nan("")));
    return;
  }
  Eigen::Map<Eigen::VectorXcd>(values.data(), A.rows) = solver.eigenvalues();
}

double eigen(BlockView<const Complex> A, std::span<Complex> values, BlockView<Complex> X,
             std::span<Complex> left) {
  const Eigen::ComplexEigenSolver<M> solver(map(A), true);
  if (solver.info() != Eigen::Success) return INFINITY;
  Eigen::Map<Eigen::VectorXcd>(values.data(), A.rows) = solver.eigenvalues();
  map(X) = solver.eigenvectors();
  const Eigen::PartialPivLU<M> lu(solver.eigenvectors());
  const M first = M::Identity(A.rows, 1);
  Eigen::Map<Eigen::VectorXcd>(left.data(), A.rows) = lu.solve(first);
  const auto s = solver.eigenvectors().jacobiSvd().singularValues();
  const double least = s(s.size() - 1);
  return least > 0.0 ? s(0) / least : INFINITY;
}

}  // namespace ritz::dense
