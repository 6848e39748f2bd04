// The eigenpairs that a Lanczos process has found: brought back to A x = λ M x, checked there, and
// bounded. Parlett: The symmetric eigenvalue problem, §§ 4.5, 15.9. SIAM, 1998.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "ritz/eigen/eigsh_options.hpp"
#include "ritz/eigen/lanczos_basis.hpp"

namespace ritz {

/// Takes the first `found` vectors of the basis, which are Ritz vectors with their values on the
/// diagonal of T and their estimates in the workspace.
template <Space S, class Problem>
class RitzPairs {
 public:
  using T = typename S::Value;
  using Block = BlockView<T>;
  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

  RitzPairs(LanczosBasis<S, Problem>& basis, EigshWorkspace<S>& ws, const Problem& problem,
            Index found)
      : basis_(basis), space_(basis.space), ws_(ws), problem_(problem), found_(found) {}

  /// Writes them, in ascending order, with residuals that are evaluated or taken from the
  /// recurrence; false if something is not finite. Cost: `found` products with A, as many with M
  /// and with its inverse; one product more where only a solve knows the norm of A.
  ///
  /// `refine`: T does not know the values to more than the tolerance; the products tell them.
  bool write(const EigshResults<T>& results, bool verify, bool refine, double tol,
             EigshOutcome& out) {
    const double norm = out.norm_a;
    place(results);
    if (problem_.inverted()) out.norm_a = verify ? norms_of_operators(results.values) : 0.0;
    // The vectors behind the pairs are free.
    const Index room = basis_.projected.cols - found_;
    out.found = found_;
    out.converged = 0;
    out.residual = 0.0;
    out.target = tol * norm;
    double worst = 0.0;
    for (Index i = 0; i < found_; ++i) {
      if (verify && i % room == 0) products(results.vectors, i, std::min(room, found_ - i));
      if (verify && refine) refine_value(results, i, i % room);
      const Pair pair = verify ? checked(results, i, i % room, norm) : estimated(results, i, norm);
      const double target = tol * pair.scale;
      if (!std::isfinite(pair.measured) || !std::isfinite(results.values[at(i)])) return false;
      if (pair.measured <= target) ++out.converged;
      if (pair.measured * out.target >= worst * target || i == 0) {
        worst = out.residual = pair.measured;
        out.target = target;
      }
    }
    out.verified = verify;
    return true;
  }

 private:
  struct Pair {
    double measured, scale;  ///< `measured` ≤ tol · `scale` is what convergence means
  };
  static std::size_t at(Index i) { return static_cast<std::size_t>(i); }

  void place(const EigshResults<T>& results) {
    auto& order = ws_.order;
    for (Index i = 0; i < found_; ++i) {
      ws_.values[at(i)] = std::real(basis_.projected(i, i));
      ws_.keys[at(i)] = basis_.op.eigenvalue(ws_.values[at(i)]);
      order[at(i)] = i;
    }
    std::sort(order.begin(), order.begin() + found_, [&](Index i, Index j) {
      return ws_.keys[at(i)] < ws_.keys[at(j)] || (ws_.keys[at(i)] == ws_.keys[at(j)] && i < j);
    });
    for (Index i = 0; i < found_; ++i) {
      results.values[at(i)] = ws_.keys[at(order[at(i)])];
      const VectorView<T> v = results.vectors.column(i);
      space_.copy(basis_.vector(order[at(i)]), v);
      if (!problem_.weighted()) space_.scale(1.0 / std::sqrt(space_.read(space_.norm2(v))), v);
    }
  }

  /// A lower bound of ‖A‖ (and of ‖M‖) from one random vector and from what was found: the norms
  /// that backward errors are measured by.
  double norms_of_operators(std::span<const double> values) {
    for (Index i = 0; i < found_; ++i) norm_a_ = std::max(norm_a_, std::abs(values[at(i)]));
    const Index free = basis_.projected.cols - found_;
    if (free < 2) return norm_a_;
    const Block z = basis_.vectors(found_, 1), y = basis_.vectors(found_ + 1, 1);
    space_.random_uniform({0, basis_.shape.stream}, z.column(0));
    const double length = std::sqrt(space_.read(space_.norm2(z.column(0))));
    const auto stretched = [&](auto&& apply) {
      apply(z, y);
      return std::sqrt(space_.read(space_.norm2(y.column(0)))) / length;
    };
    const double a = stretched([&](Block x, Block Ax) { basis_.op.a(x, Ax); });
    if (!problem_.weighted()) return norm_a_ = std::max(norm_a_, a);
    norm_m_ = stretched([&](Block x, Block Mx) { basis_.op.mass(x, Mx); });
    return norm_a_ = a;
  }

  Block images(Index count) { return basis_.vectors(found_, count); }
  Block weighed(Index count) { return basis_.weighed(found_, count); }
  void products(Block vectors, Index first, Index count) {
    basis_.op.a(vectors.columns(first, count), images(count));
    if (problem_.weighted()) basis_.op.mass(vectors.columns(first, count), weighed(count));
  }

  /// λ = vᴴ A v / vᴴ M v, but no less than the value before: they are to ascend.
  void refine_value(const EigshResults<T>& results, Index i, Index j) {
    const VectorView<T> v = results.vectors.column(i), Av = images(j + 1).column(j);
    double value = space_.read(space_.real_dot(v, Av));
    if (problem_.weighted()) {
      value /= space_.read(space_.real_dot(v, weighed(j + 1).column(j)));
    }
    if (i > 0) value = std::max(value, results.values[at(i - 1)]);
    results.values[at(i)] = value;
  }
  Pair checked(const EigshResults<T>& results, Index i, Index j, double norm) {
    const VectorView<T> v = results.vectors.column(i), r = images(j + 1).column(j);
    const double value = results.values[at(i)];
    if (!problem_.weighted()) {
      const double residual = std::sqrt(space_.read(space_.axpy_norm2(-value, v, r)));
      store(results, i, residual, residual);
      return {residual, problem_.inverted() ? norm_a_ : norm};
    }
    const VectorView<T> w = weighed(j + 1).column(j);
    const double length = std::sqrt(space_.read(space_.real_dot(v, w)));
    const double euclidean = std::sqrt(space_.read(space_.norm2(v))) / length;
    const double residual = std::sqrt(space_.read(space_.axpy_norm2(-value, w, r))) / length;
    space_.scale(1.0 / length, v);
    if (problem_.inverted()) {
      store(results, i, residual, inverted_bound(i));
      return {residual, (norm_a_ + std::abs(value) * norm_m_) * euclidean};
    }
    // ‖r‖ in the norm of M⁻¹ is the distance that bounds the eigenvalue.
    basis_.op.mass_inverse(images(j + 1).columns(j, 1), weighed(j + 1).columns(j, 1));
    const double distance = std::sqrt(std::max(space_.read(space_.real_dot(r, w)), 0.0)) / length;
    store(results, i, residual, distance);
    return {distance, norm};
  }
  Pair estimated(const EigshResults<T>& results, Index i, double norm) {
    const double estimate = ws_.estimates[at(ws_.order[at(i)])];
    store(results, i, estimate, problem_.inverted() ? inverted_bound(i) : estimate);
    return {estimate, norm};
  }
  void store(const EigshResults<T>& results, Index i, double residual, double bound) {
    results.residuals[at(i)] = residual;
    if (!results.bounds.empty()) results.bounds[at(i)] = bound;
  }
  /// An eigenvalue of OP lies within ρ of θ: one of A x = λ M x within this of σ + 1/θ.
  double inverted_bound(Index i) const {
    const Index from = ws_.order[at(i)];
    const double theta = std::abs(ws_.values[at(from)]);
    const double rho = ws_.estimates[at(from)] + 8.0 * kEps * basis_.shape.norm;
    return rho < theta ? rho / (theta * (theta - rho)) : INFINITY;
  }

  LanczosBasis<S, Problem>& basis_;
  S& space_;
  EigshWorkspace<S>& ws_;
  const Problem& problem_;
  Index found_;
  double norm_a_ = 0.0, norm_m_ = 0.0;
};

}  // namespace ritz
