// The backward error of a least-squares solution, from a sketch of A.
//
// Karlson, Waldén: Estimation of optimal backward perturbation bounds for the linear least squares
// problem. BIT 37, 1997. Gratton, Jiránek, Titley-Peloquin: On the accuracy of the Karlson-Waldén
// estimate of the backward error for linear least squares problems. SIAM J. Matrix Anal. Appl. 33,
// 2012. Sketched: Epperly, Meier, Nakatsukasa, 2024.
#pragma once

#include <cmath>
#include <optional>
#include <span>
#include <vector>

#include "ritz/lstsq/preconditioner.hpp"

namespace ritz {

/// Relative to ‖A‖_F: the least ‖[δA, δb ‖A‖_F/‖b‖]‖_F with which x is the minimiser for A + δA,
/// b + δb is, within a factor of √2 and the distortion of the sketch,
///
///     θ/√(1 + θ²‖x‖²) ‖(RᴴR + ω²I)^(−1/2) Aᴴr‖ / ‖A‖_F,
///     θ = ‖A‖_F/‖b‖,  ω = θ‖r‖/√(1 + θ²‖x‖²),
///
/// all of the A with scaled columns. The triangle of [R; ωI] is made once a column and a residual:
/// 2n³/3 flops and n² numbers; an estimate costs n² flops.
template <Field W>
class BackwardError {
 public:
  /// `size`: ‖A‖_F; `norm_b`: of each column.
  BackwardError(const Triangle<W>& triangle, double size, std::vector<double> norm_b)
      : triangle_(triangle),
        n_(triangle.R().cols),
        size_(size),
        norm_b_(std::move(norm_b)),
        columns_(norm_b_.size()) {}

  /// Takes the norms of r and of x (scaled) for column j.
  void set(Index j, double norm_r, double norm_x) {
    Column& c = columns_[static_cast<std::size_t>(j)];
    const double theta = size_ / norm_b_[static_cast<std::size_t>(j)];
    c.factor = theta / std::hypot(1.0, theta * norm_x);
    const double omega = c.factor * norm_r;
    if (c.triangle && std::abs(omega - c.omega) <= 0.01 * omega) return;
    c.omega = omega;
    c.triangle.emplace(triangle_.bare());
    SmallMatrix<W> shift(n_, n_);
    for (Index i = 0; i < n_; ++i) shift(i, i) = omega;
    c.triangle->absorb(shift.view(), true);
  }
  /// For column j with g = Aᴴr, which is overwritten.
  double estimate(Index j, std::span<W> g) const {
    const Column& c = columns_[static_cast<std::size_t>(j)];
    if (c.omega == 0.0) return 0.0;
    dense::solve_upper<W>(c.triangle->R(), BlockView<W>{g.data(), n_, 1, n_}, true);
    double sum = 0.0;
    for (const W& a : g) sum += std::norm(a);
    return c.factor * std::sqrt(sum) / size_;
  }

 private:
  struct Column {
    double factor = 0.0, omega = 0.0;
    std::optional<Triangle<W>> triangle;
  };

  const Triangle<W>& triangle_;
  Index n_;
  double size_;
  std::vector<double> norm_b_;
  std::vector<Column> columns_;
};

}  // namespace ritz
