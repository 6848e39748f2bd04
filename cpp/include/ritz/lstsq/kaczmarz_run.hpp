// The steps of randomized Kaczmarz, and what ends them.
//
// Strohmer, Vershynin: A randomized Kaczmarz algorithm with exponential convergence. J. Fourier
// Anal. Appl. 15, 2009. Zouzias, Freris: Randomized extended Kaczmarz for solving least squares.
// SIAM J. Matrix Anal. Appl. 34, 2013. Needell, Tropp: Paved with good intentions: analysis of a
// randomized block Kaczmarz method. Linear Algebra Appl. 441, 2014.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "ritz/core/monitor.hpp"
#include "ritz/krylov/right_hand_side.hpp"
#include "ritz/lstsq/kaczmarz_options.hpp"
#include "ritz/lstsq/noisy_residual.hpp"
#include "ritz/lstsq/row_projector.hpp"
#include "ritz/lstsq/rows.hpp"
#include "ritz/space/host.hpp"

namespace ritz {

/// Solves for one right-hand side after another. Rows is how true residuals are made (rows.hpp),
/// Make(columns) gives access to the rows of A or of Aᵀ.
///
///     x = x + ω a_iᴴ (b_i − a_i x)/‖a_i‖²,  i with probability ‖a_i‖²/‖A‖_F²:
///
/// E‖x − x*‖² falls by 1 − ω(2 − ω) σ_min²/‖A‖_F² a step, x* the solution nearest x₀. If there is
/// none, x ends up going to and fro at a distance from the least-squares solution. The extended
/// method solves A x = b − z with z → b − A A^† b by projections on columns,
///
///     z = z − ω a_j (a_jᴴ z)/‖a_j‖²,  j with probability ‖a_j‖²/‖A‖_F²,
///
/// a step of either kind in turn; it may begin at any x and z = b − A x, and so it does when the
/// residual of the plain method is seen not to fall any more.
///
/// |t|²/‖a_i‖², t the residual of the equation drawn, is ‖b − A x‖²/‖A‖_F² in expectation: its mean
/// says for nothing when to evaluate the true residual, which alone ends a run.
///
/// Costs: a step 4 n, extended 4 (m + n); a check is two products. Memory: O(m) numbers; a copy of
/// A where it is dense and rows, or for the extended method columns, are not contiguous, or sparse
/// and compressed the other way.
template <Field T, class Rows, class Access, class Make>
class Kaczmarz {
 public:
  using W = WideOf<T>;
  static constexpr double kEps = std::numeric_limits<RealOf<T>>::epsilon();

  Kaczmarz(Rows& A, Make make, const KaczmarzOptions& opt)
      : A_(A),
        make_(std::move(make)),
        opt_(opt),
        m_(A.rows()),
        n_(A.cols()),
        by_rows_((check(opt), make_(false)), opt.block, opt.seed),
        norm_a_(std::sqrt(by_rows_.norm2())),
        gradient_(n_, 1) {
    period_ = std::max<Index>(std::max<Index>(std::min(m_, n_), 16) / opt.block, 1);
    const double uses = 1000.0 * static_cast<double>(std::max(m_, n_));
    limit_ = opt.max_iterations > 0 ? opt.max_iterations
                                    : static_cast<Index>(uses / static_cast<double>(opt.block)) + 1;
  }

  KaczmarzOutcome solve(VectorView<const T> b, VectorView<T> x, const Monitor& monitor) {
    b_ = b;
    x_ = x;
    monitor_ = monitor;
    clock_ = {};
    out_ = {};
    first_products_ = A_.products();
    first_passes_ = A_.passes();
    trust();
    if (start()) {
      while (!advance()) {
      }
    }
    account();
    out_.norm_x = std::sqrt(space_.norm2(x_));
    out_.seconds = clock_.seconds();
    readings_ = 0.0;
    return out_;
  }

  /// How rows are drawn.
  const RowDraws& draws() const { return by_rows_.draws(); }

 private:
  using ByRows = RowProjector<T, Access, false>;
  using ByColumns = RowProjector<T, Access, true>;

  static void check(const KaczmarzOptions& opt) {
    check_tolerance("rtol", opt.rtol);
    check_tolerance("atol", opt.atol);
    if (!(opt.relaxation > 0.0 && opt.relaxation < 2.0)) {
      throw InvalidArgument("relaxation is " + std::to_string(opt.relaxation) +
                            "; pass a number between 0 and 2");
    }
    if (opt.block < 1) {
      throw InvalidArgument("block is " + std::to_string(opt.block) + "; pass at least 1 row");
    }
  }

  bool extended() const { return out_.method == KaczmarzMethod::extended; }
  bool end(Status status) {
    out_.status = status;
    return true;
  }

  /// False if the run ends at once.
  bool start() {
    z_.resize(static_cast<std::size_t>(m_));
    norm_b_ = std::sqrt(right_hand_side_norm2(space_, b_, opt_.rtol, VectorView<T>(z_)));
    out_.target = std::max(opt_.rtol * norm_b_, opt_.atol);
    out_.residual = norm_b_;
    out_.norm_a = norm_a_;
    out_.method = KaczmarzMethod::plain;
    if (!opt_.warm_start || norm_b_ == 0.0) space_.fill(0.0, x_);
    if (!std::isfinite(norm_b_) || !std::isfinite(norm_a_)) return !end(Status::nonfinite);
    if (norm_b_ == 0.0 || norm_a_ == 0.0) {
      out_.normal_residual = 0.0;
      out_.verified = true;
      const bool solved = norm_b_ <= out_.target || opt_.method != KaczmarzMethod::plain;
      return !end(solved ? Status::converged : Status::stagnation);
    }
    if (opt_.warm_start) {
      measure();
      if (!std::isfinite(out_.residual)) return !end(Status::nonfinite);
      if (distance() == 0.0) return !end(Status::converged);
    } else if (out_.residual <= out_.target) {
      out_.verified = true;
      return !end(Status::converged);
    }
    if (opt_.method == KaczmarzMethod::extended) begin_extended();
    return true;
  }

  void begin_extended() {
    if (!by_columns_) {
      by_columns_.emplace(make_(true), opt_.block, opt_.seed);
      readings_ += 1.0;
    }
    for (Index i = 0; i < m_; ++i) {
      const W r = static_cast<W>(b_[i]) - by_rows_.access().template dot<false>(i, x_.data);
      z_[static_cast<std::size_t>(i)] = static_cast<T>(r);
    }
    readings_ += 1.0;
    out_.method = KaczmarzMethod::extended;
    trust();
  }
  void trust() {
    plateau_ = {};
    claims_ = {};
    begin_period();
  }
  void begin_period() {
    steps_ = 0;
    rows_ = columns_ = 0.0;
  }

  /// Steps to the next look: a period, yet no longer than about 10 ms.
  Index steps_to_look() const {
    Index steps = period_;
    double work = by_rows_.access().work();
    if (extended()) work += by_columns_->access().work();
    const double most = std::max(16.0, 8e6 / (work * static_cast<double>(opt_.block)));
    steps = static_cast<Index>(std::min(static_cast<double>(steps), most));
    if (opt_.check_every > 0) steps = opt_.check_every;
    return std::min(std::max<Index>(steps, 1), limit_ - out_.iterations);
  }

  /// Steps to the next look, and looks. True if the run has ended.
  bool advance() {
    const Index steps = steps_to_look();
    for (Index k = 0; k < steps; ++k) {
      const Index number = out_.iterations++;
      if (extended()) {
        const auto zero = [](Index) { return W{}; };
        columns_ += by_columns_->step(number, opt_.relaxation, zero, z_.data());
        out_.column_uses += by_columns_->used();
        const auto c = [&](Index i) {
          return static_cast<W>(b_[i]) - static_cast<W>(z_[static_cast<std::size_t>(i)]);
        };
        rows_ += by_rows_.step(number, opt_.relaxation, c, x_.data);
      } else {
        rows_ += by_rows_.step(
            number, opt_.relaxation, [&](Index i) { return static_cast<W>(b_[i]); }, x_.data);
      }
      out_.row_uses += by_rows_.used();
    }
    steps_ += steps;
    const double share = by_rows_.norm2() / static_cast<double>(steps_);
    return look(share * rows_, share * columns_);
  }

  /// `rows` is about ‖b − z − A x‖² (z = 0 if plain), `columns` about ‖Aᴴz‖².
  bool look(double rows, double columns) {
    out_.verified = false;
    double falling = rows, normal = INFINITY;
    out_.residual = std::sqrt(rows);
    if (extended()) {
      out_.residual = std::sqrt(rows + space_.norm2(VectorView<const T>(z_)));
      // ‖Aᴴu‖² of a u in the range of A like any other.
      falling = columns + rows * by_rows_.norm2() / static_cast<double>(std::min(m_, n_));
      normal = Claims::ratio(std::sqrt(falling), opt_.rtol * norm_a_ * out_.residual);
    }
    account();
    Iteration now;
    now.iteration = out_.iterations;
    now.products = out_.products;
    now.residual = out_.residual;
    now.x = x_.data;
    now.size = n_;
    now.clock = &clock_;
    const auto stop = monitor_.check(now);
    if (!std::isfinite(rows + columns)) return end(Status::nonfinite);

    const bool at_limit = out_.iterations >= limit_;
    bool claimed = false;
    double left = 0.0;
    if (steps_ >= period_) {
      const double nearest = std::min(Claims::ratio(out_.residual, out_.target), normal);
      claimed = claims_.worth(nearest, out_.iterations);
      left = plateau_.add(falling);
      begin_period();
    }
    if (claimed || left > Plateau::kSlow || at_limit) {
      measure();
      if (!std::isfinite(out_.residual)) return end(Status::nonfinite);
      const double measured = distance();
      if (measured == 0.0) return end(Status::converged);
      if (claimed && claims_.refuted(measured, out_.iterations)) left = 1.0;
      if (left > Plateau::kSlow && !goes_on(left > Plateau::kFlat)) return true;
      if (at_limit) return end(Status::max_iterations);
    }
    return stop ? end(*stop) : false;
  }

  /// What to do where the residual falls slowly or not at all; false if the run has ended.
  bool goes_on(bool flat) {
    if (at_rounding()) return !end(Status::precision_limit);
    if (!extended() && opt_.method == KaczmarzMethod::automatic) {
      begin_extended();
      return true;
    }
    // A component of the error that falls very slowly looks like one that does not.
    constexpr Index kPatience = 8;
    return !flat || out_.iterations < limit_ / kPatience || !end(Status::stagnation);
  }

  /// ‖r‖ and ‖Aᴴr‖ as they are.
  void measure() {
    double r2 = 0.0;
    A_.residual(BlockView<const T>(as_block(b_)), as_block(VectorView<const T>(x_)),
                gradient_.view(), {&r2, 1});
    out_.residual = std::sqrt(r2);
    double g2 = 0.0;
    for (const W& g : gradient_.data) g2 += std::norm(g);
    out_.normal_residual = std::sqrt(g2);
    out_.normal_target = opt_.rtol * norm_a_ * out_.residual;
    out_.verified = true;
    ++out_.checks;
  }

  /// The residual over its target, or the normal residual over its own; 0 where one has been met.
  double distance() const {
    const auto ratio = [](double a, double bound) { return a <= bound ? 0.0 : a / bound; };
    const double consistent = ratio(out_.residual, out_.target);
    if (opt_.method == KaczmarzMethod::plain) return consistent;
    return std::min(consistent, ratio(out_.normal_residual, out_.normal_target));
  }

  /// Rounding x at every step leaves residuals of up to about eps ‖A‖_F ‖x‖.
  bool at_rounding() {
    const double bound =
        10.0 * kEps * (norm_a_ * std::sqrt(space_.norm2(VectorView<const T>(x_))) + norm_b_);
    return out_.residual <= bound || (extended() && out_.normal_residual <= norm_a_ * bound);
  }

  void account() {
    const double used = static_cast<double>(out_.row_uses) / static_cast<double>(m_) +
                        static_cast<double>(out_.column_uses) / static_cast<double>(n_);
    const auto whole = static_cast<Index>(std::ceil(used));
    out_.products.apply = A_.products().apply - first_products_.apply + whole;
    out_.products.adjoint = A_.products().adjoint - first_products_.adjoint + whole;
    out_.passes = used + readings_ + static_cast<double>(A_.passes() - first_passes_);
  }

  Rows& A_;
  Make make_;
  KaczmarzOptions opt_;
  Index m_, n_;
  ByRows by_rows_;
  std::optional<ByColumns> by_columns_;
  double norm_a_;
  SmallMatrix<W> gradient_;
  Index limit_ = 0;
  double readings_ = 1.0;  // of A, not yet accounted for: here that for the norms

  HostSpace<T> space_;
  VectorView<const T> b_;
  VectorView<T> x_;
  Monitor monitor_;
  Clock clock_;
  KaczmarzOutcome out_;
  Counts first_products_;
  Index first_passes_ = 0;
  std::vector<T> z_;
  double norm_b_ = 0.0;
  Plateau plateau_;
  Claims claims_;
  // The mean of the estimates is taken over a period: steps with min(m, n) rows, and at least 16.
  Index period_ = 1, steps_ = 0;
  double rows_ = 0.0, columns_ = 0.0;
};

}  // namespace ritz
