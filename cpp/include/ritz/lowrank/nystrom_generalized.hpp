// A ≈ U diag(s) Vᴴ for any A from AX and AᴴY with random X and Y, which one pass over A gives:
// the generalised Nyström approximation Â = AX (YᴴAX)⁺ YᴴA.
// Nakatsukasa: Fast and stable randomized low-rank matrix approximation. arXiv 2009.11392, 2020.
// Tropp, Yurtsever, Udell, Cevher: Practical sketching algorithms for low-rank matrix
// approximation. SIAM J. Matrix Anal. Appl. 38, 2017.
#pragma once

#include <optional>

#include "ritz/core/monitor.hpp"
#include "ritz/dense/qr.hpp"
#include "ritz/dense/svd.hpp"
#include "ritz/function/probes.hpp"
#include "ritz/lowrank/block_orthogonalize.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

struct GeneralizedNystromOptions {
  Index rank = 16;          ///< r: columns of U and V, and of X
  Index oversampling = -1;  ///< columns of Y beyond those of X; −1 means r / 2
  Index block = 32;         ///< columns of one product
  RandomKey seed = {};      ///< column i is stream seed.stream + purpose + i

  template <class F>
  void visit(const F& f) {
    f("rank", rank);
    f("oversampling", oversampling);
    f("block", block);
    f("seed", seed.seed);
  }
};

struct GeneralizedNystromOutcome : Outcome {
  Index rank = 0;           ///< columns of U and V
  std::vector<double> s;    ///< descending
  double error = INFINITY;  ///< leave-one-out estimate of ‖A − Â‖_F
};

template <Space S>
struct GeneralizedNystromWorkspace {
  using T = typename S::Value;

  /// The memory for X and Z = AᴴY (n), Y and AX (m), r and l columns.
  void prepare(S& space, Index m, Index n, Index r, Index l) {
    arena.begin(space, Arena<S>::padded(n) * (r + l) + Arena<S>::padded(m) * (r + l));
    X = arena.block(n, r);
    Z = arena.block(n, l);
    Y = arena.block(m, l);
    U = arena.block(m, r);
  }
  std::size_t bytes() const { return arena.bytes() + room.bytes(); }

  Arena<S> arena;
  BlockView<T> X, Z, Y, U;
  CoefficientRoom<S> room;
};

/// One run of `nystrom_generalized`. With AX = Q R₁ and G = YᴴQ = Q_G R_G, well conditioned
/// whatever A is, Â = Q G⁺ Zᴴ: no pseudo-inverse of YᴴAX, whose small singular values are rounding.
/// With t_i = R_G⁻ᴴ R₁⁻ᴴ e_i, what the approximation without column i of X leaves of its product
/// has norm ‖R_G⁻¹ t_i‖ / ‖t_i‖²; the mean of the squares is unbiased for ‖A − Â‖²_F of r − 1
/// columns.
template <Space S, class A>
class GeneralizedNystromRun {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;

  GeneralizedNystromRun(S& space, const A& op, GeneralizedNystromWorkspace<S>& workspace,
                        const GeneralizedNystromOptions& options, const Monitor& monitor)
      : s_(space),
        A_(op),
        ws_(workspace),
        opt_(options),
        monitor_(monitor),
        orthogonalize_(space, workspace.room) {
    r_ = std::min({opt_.rank, op.rows(), op.cols()});
    const Index more = opt_.oversampling < 0 ? opt_.rank / 2 : opt_.oversampling;
    l_ = std::min(r_ + more, op.rows());
    ws_.prepare(s_, op.rows(), op.cols(), r_, l_);
  }

  GeneralizedNystromOutcome run() {
    if (r_ == 0) return finish(Status::converged, 0.0);
    draw(ws_.X, 0);
    draw(ws_.Y, std::uint64_t{1} << 40);
    double norm2_AX = 0.0, norm2_Z = 0.0;
    if (const auto stop = products(ws_.X, ws_.U, false, norm2_AX)) return finish(*stop, INFINITY);
    if (const auto stop = products(ws_.Y, ws_.Z, true, norm2_Z)) return finish(*stop, INFINITY);

    auto made = orthogonalize_({}, ws_.U);
    const Index rank = made.rank;
    constexpr double u = std::numeric_limits<RealOf<T>>::epsilon();
    const double floor = u * std::sqrt(norm2_AX);
    if (rank == 0) return finish(Status::converged, floor);
    const auto Q = ws_.U.columns(0, rank);
    SmallMatrix<W> G = orthogonalize_.coefficients(ws_.Y, Q), RG;
    RG.resize(rank, rank);
    dense::qr<W>(G.view(), RG.view());
    const double error = rank == r_ ? leave_one_out(made.R, RG) : 0.0;
    factor(Q, G, RG);
    return finish(Status::converged, std::max(error, floor));
  }

 private:
  void draw(BlockView<T> X, std::uint64_t from) {
    constexpr std::uint64_t kPurpose = std::uint64_t{0x22} << 56;
    for (Index j = 0; j < X.cols; ++j) {
      const auto stream = kPurpose + from + static_cast<std::uint64_t>(j);
      s_.random_normal({opt_.seed.seed, opt_.seed.stream + stream}, X.column(j));
    }
  }

  /// Y = A X or Aᴴ X; an ending if one comes first.
  std::optional<Status> products(BlockView<T> X, BlockView<T> Y, bool adjoint, double& norm2) {
    for (Index j = 0; j < X.cols;) {
      const Index left = monitor_.max_products - out_.products.total();
      if (left <= 0) return Status::max_products;
      const Index count = std::min({opt_.block, X.cols - j, left});
      const BlockView<const T> from = X.columns(j, count);
      if (adjoint) {
        apply_adjoint_columns(A_, from, Y.columns(j, count));
      } else {
        apply_columns(A_, from, Y.columns(j, count));
      }
      (count > 1 ? out_.products.columns
       : adjoint ? out_.products.adjoint
                 : out_.products.apply) += count;
      for (Index end = j + count; j < end; ++j) norm2 += s_.read(s_.norm2(Y.column(j)));
      out_.iterations += count;
      if (!std::isfinite(norm2)) return Status::nonfinite;
      Iteration now;
      now.iteration = out_.iterations;
      now.products = out_.products;
      now.clock = &clock_;
      const auto stop = monitor_.check(now);
      if (stop && out_.iterations < r_ + l_) return stop;
    }
    return std::nullopt;
  }

  double leave_one_out(SmallMatrix<W>& R1, SmallMatrix<W>& RG) {
    SmallMatrix<W> P, D, E;  // R₁⁻ᴴ = Q P⁻ᴴ for R₁ = Q P; columns t_i, then R_G⁻¹ t_i
    P.resize(r_, r_);
    D.resize(r_, r_);
    E.resize(r_, r_);
    for (Index i = 0; i < r_; ++i) D(i, i) = 1.0;
    dense::qr<W>(R1.view(), P.view());
    dense::solve_upper<W>(P.view(), D.view(), true);
    dense::multiply<W>(R1.view(), D.view(), E.view());
    dense::solve_upper<W>(RG.view(), E.view(), true);
    std::vector<double> t2(static_cast<std::size_t>(r_));
    for (Index i = 0; i < r_; ++i) {
      const double norm2 = std::real(inner<W>(E.column(i), E.column(i)));
      t2[static_cast<std::size_t>(i)] = norm2;
      const double length = std::sqrt(norm2);
      for (W& x : E.column(i)) x /= length;
    }
    dense::solve_upper<W>(RG.view(), E.view());
    double squares = 0.0;
    for (Index i = 0; i < r_; ++i) {
      squares += std::real(inner<W>(E.column(i), E.column(i))) / t2[static_cast<std::size_t>(i)];
    }
    return std::sqrt(squares / static_cast<double>(r_));
  }

  /// U diag(s) Vᴴ = Q (R_G⁻¹ Q_Gᴴ R₂ᴴ) Q₂ᴴ with Z = Q₂ R₂.
  void factor(BlockView<T> Q, SmallMatrix<W>& QG, SmallMatrix<W>& RG) {
    SmallMatrix<W> core, P, V;
    auto made = orthogonalize_({}, ws_.Z);
    SmallMatrix<W>& R2 = made.R;
    const Index rank = Q.cols, right = made.rank, least = std::min(rank, right);
    core.resize(rank, right);
    for (Index j = 0; j < right; ++j) {
      for (Index i = 0; i < rank; ++i) {
        W sum{};
        for (Index k = 0; k < l_; ++k) sum += conjugate(QG(k, i)) * conjugate(R2(j, k));
        core(i, j) = sum;
      }
    }
    dense::solve_upper<W>(RG.view(), core.view());
    P.resize(rank, least);
    V.resize(right, least);
    out_.s.resize(static_cast<std::size_t>(least));
    if (least > 0) {
      dense::svd<W>(core.view(), P.view(), out_.s, V.view());
      s_.combine(Q, P.view());
      s_.combine(ws_.Z.columns(0, right), V.view());
    }
    out_.rank = least;
  }

  GeneralizedNystromOutcome finish(Status status, double error) {
    out_.status = status;
    out_.error = out_.residual = error;
    out_.verified = status == Status::converged;
    out_.seconds = clock_.seconds();
    return std::move(out_);
  }

  S& s_;
  const A& A_;
  GeneralizedNystromWorkspace<S>& ws_;
  GeneralizedNystromOptions opt_;
  Monitor monitor_;
  Clock clock_;
  Index r_ = 0, l_ = 0;
  BlockOrthogonalizer<S> orthogonalize_;
  GeneralizedNystromOutcome out_;
};

/// U and V are columns [0, rank) of `ws.U` and `ws.Z`. r products with A and r + ℓ with Aᴴ, none of
/// which needs the outcome of another; 4 (m + n)(r + ℓ)² of work. Memory: (m + n)(2r + ℓ).
template <Space S, LinearOperator<typename S::Value> A>
GeneralizedNystromOutcome nystrom_generalized(S& space, const A& op,
                                              GeneralizedNystromWorkspace<S>& ws,
                                              const GeneralizedNystromOptions& opt = {},
                                              const Monitor& monitor = {}) {
  require_adjoint(op);
  if (opt.rank < 1) throw InvalidArgument("rank must be at least 1");
  if (opt.block < 1) throw InvalidArgument("block must be at least 1");
  return GeneralizedNystromRun<S, A>(space, op, ws, opt, monitor).run();
}

}  // namespace ritz
