// Projections on the solutions of a few equations, their rows drawn by their norms.
#pragma once

#include <cmath>
#include <numeric>
#include <vector>

#include "ritz/core/error.hpp"
#include "ritz/lstsq/gram_solver.hpp"
#include "ritz/lstsq/row_access.hpp"
#include "ritz/lstsq/row_draws.hpp"

namespace ritz {

/// Steps v = v + ω R_Sᴴ (R_S R_Sᴴ)^† t, t = c_S − R_S v, where R is A, or with kColumns Aᴴ of which
/// `Access` has the rows without their conjugation. A row is drawn with probability ‖a_i‖²/‖A‖_F²,
/// so that rows of zeros never are.
///
/// A step costs 4 n for one row, 4 n b + n b² for b of them. O(m) memory.
template <Field T, class Access, bool kColumns>
class RowProjector {
 public:
  using W = WideOf<T>;

  /// Throws InvalidArgument where norms over- or underflow.
  RowProjector(Access access, Index block, std::uint64_t seed)
      : access_(std::move(access)), block_(block), norms2_(access_.norms2()) {
    norm2_ = std::accumulate(norms2_.begin(), norms2_.end(), 0.0);
    if (norm2_ == 0.0 && access_.largest() > 0.0) {
      throw InvalidArgument("A is so small that its norm underflows: scale A up");
    }
    if (std::isinf(norm2_) && std::isfinite(access_.largest())) {
      throw InvalidArgument("A is so large that its norm overflows: scale A down");
    }
    if (!std::isfinite(norm2_)) return;
    draws_ = RowDraws(norms2_, seed, kColumns ? RowStream::columns : RowStream::rows);
    if (block_ > 1) row_.resize(static_cast<std::size_t>(access_.cols()));
  }

  const Access& access() const { return access_; }
  const RowDraws& draws() const { return draws_; }
  /// ‖A‖_F²
  double norm2() const { return norm2_; }
  /// Rows of the last step.
  Index used() const { return static_cast<Index>(rows_.size()); }

  /// The mean of |t_l|²/‖a_l‖²: times ‖A‖_F² it is ‖c − R v‖² in expectation.
  template <class RightHandSide>
  double step(Index number, double omega, const RightHandSide& c, T* v) {
    draws_.draw(number, block_, rows_);
    const Index b = used();
    if (b == 1) {
      const Index i = rows_[0];
      const double size = norms2_[static_cast<std::size_t>(i)];
      const W t = c(i) - access_.template dot<kColumns>(i, v);
      access_.template add<!kColumns>(i, omega * t / size, v);
      return std::norm(t) / size;
    }
    t_.resize(b, 1);
    double mean = 0.0;
    for (Index l = 0; l < b; ++l) {
      const Index i = row(l);
      t_(l, 0) = c(i) - access_.template dot<kColumns>(i, v);
      mean += std::norm(t_(l, 0)) / norms2_[static_cast<std::size_t>(i)] / static_cast<double>(b);
    }
    if (!std::isfinite(mean)) return mean;
    form_gram();
    solver_.solve(gram_, t_);
    for (Index l = 0; l < b; ++l) access_.template add<!kColumns>(row(l), omega * t_(l, 0), v);
    return mean;
  }

 private:
  Index row(Index l) const { return rows_[static_cast<std::size_t>(l)]; }

  /// The lower triangle of R_S R_Sᴴ.
  void form_gram() {
    gram_.resize(used(), used());
    for (Index l = 0; l < used(); ++l) {
      access_.template add<!kColumns>(row(l), W{1.0}, row_.data());
      for (Index k = l; k < used(); ++k) {
        gram_(k, l) = access_.template dot<kColumns>(row(k), row_.data());
      }
      access_.clear(row(l), row_.data());
    }
  }

  Access access_;
  Index block_;
  std::vector<double> norms2_;
  double norm2_ = 0.0;
  RowDraws draws_;
  std::vector<Index> rows_;
  std::vector<T> row_;
  SmallMatrix<W> t_, gram_;
  GramSolver<W> solver_;
};

}  // namespace ritz
