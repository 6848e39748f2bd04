// The decomposition A ≈ C U R by columns and rows of A itself.
// Voronin, Martinsson: Efficient algorithms for CUR and interpolative matrix decompositions. Adv.
// Comput. Math. 43, 2017. The cores: Park, Nakatsukasa: Accuracy and stability of CUR
// decompositions with oversampling. SIAM J. Matrix Anal. Appl. 46, 2025.
#pragma once

#include "ritz/lowrank/interpolative.hpp"

namespace ritz {

enum class CurCore : int {
  projection = 0,  ///< U = C⁺ A R⁺, the best there is for C and R; k more products
  cross = 1,       ///< U = A_IJ⁻¹: the rows I and the columns J are met exactly
};

struct CurOptions : InterpolativeOptions {
  CurCore core = CurCore::projection;
};

/// A ≈ C U R, C = A_J and R = A_I.
template <Field T>
struct Cur {
  std::vector<Index> rows, columns;  ///< I and J, in the order in which they were chosen
  SmallMatrix<T> C, U;
  SmallMatrix<T> Rt;  ///< Rᵀ
};

/// One run of `cur`. The columns J are those of the interpolative decomposition; the rows I are
/// chosen from C = A_J by a QR factorisation of Cᴴ with pivoting.
///
/// The error estimate is ‖Y − Y_J U R‖_F/√d, what the rows Y of the sketch show of A − C U R: of
/// these only the choice of J depends on them, so that nothing need be left out. With a tolerance
/// that it misses, the columns are chosen anew by half of the tolerance.
///
/// Products: d = k + 10 adjoint ones for the sketch of an operator, k for C, k adjoint ones for R,
/// and k for the projection core. Beside them 12 m k² + 6 n k² + 4 d n k work.
template <Field T>
class CurRun {
 public:
  using S = HostSpace<T>;
  using W = WideOf<T>;

  CurRun(S& space, SkeletonSource<T>& source, Cur<T>& to, const CurOptions& opt,
         const Monitor& monitor)
      : s_(space), source_(source), f_(to), opt_(opt), columns_(space, source, opt, monitor) {}

  InterpolativeOutcome run() {
    double tol = opt_.tol;
    for (int attempt = 0;; ++attempt, tol *= 0.5) {
      InterpolativeOutcome out = columns_.run(tol);
      out.target = opt_.tol * out.norm;
      if (!columns_.has_skeleton()) return abandon(out, out.status);
      if (const auto stop = columns_.pending()) return abandon(out, *stop);
      if (const auto stop = skeleton(out.rank)) return abandon(out, *stop);
      out.residual = error();
      if (!std::isfinite(out.residual)) return abandon(out, Status::nonfinite);
      if (opt_.tol == 0.0 || out.residual <= out.target) return finish(out, Status::converged);
      if (out.status != Status::converged) return finish(out, out.status);
      if (attempt == kAttempts) return finish(out, Status::precision_limit);
    }
  }

 private:
  static constexpr int kAttempts = 6;

  /// C, U and R of rank k.
  std::optional<Status> skeleton(Index k) {
    const Index m = source_.rows(), n = source_.cols();
    f_.C.resize(m, k);
    f_.U.resize(k, k);
    f_.Rt.resize(n, k);
    f_.rows.clear();
    f_.columns.assign(columns_.columns().begin(), columns_.columns().end());
    if (k == 0) return std::nullopt;
    source_.columns_of(f_.columns, f_.C.view());
    if (const auto stop = columns_.observe(columns_.sketch().rows)) return stop;
    SmallMatrix<W> C = wide(f_.C, false);
    if (!finite(C)) return Status::nonfinite;
    choose_rows(C);
    source_.rows_of(f_.rows, f_.Rt.view());
    if (opt_.core == CurCore::cross) {
      cross(C);
    } else {
      if (const auto stop = columns_.observe(columns_.sketch().rows)) return stop;
      project(C);
    }
    return std::nullopt;
  }

  void choose_rows(const SmallMatrix<W>& C) {
    const Index m = C.rows, k = C.cols;
    SmallMatrix<W> M, factor;  // M = Cᵀ: the conjugates of its columns have the same norms
    M.resize(k, m);
    factor.resize(k, m);
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < k; ++j) M(j, i) = C.data[static_cast<std::size_t>(i + j * m)];
    }
    std::vector<Index> order(static_cast<std::size_t>(m));
    dense::qr_pivoted_r<W>(M.view(), factor.view(), order);
    f_.rows.assign(order.begin(), order.begin() + k);
  }

  /// U = C_I⁻¹ from C_I = Q T.
  void cross(SmallMatrix<W>& C) {
    const Index k = C.cols;
    SmallMatrix<W> Q, R, V;
    for (SmallMatrix<W>* M : {&Q, &R, &V}) M->resize(k, k);
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < k; ++i) Q(i, j) = C(f_.rows[static_cast<std::size_t>(i)], j);
    }
    dense::qr<W>(Q.view(), R.view());
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < k; ++i) V(i, j) = conjugate(Q(j, i));
    }
    dense::solve_upper<W>(R.view(), V.view());
    round(V, false);
  }

  /// U = T⁻¹ (QᴴA P) L⁻ᴴ from C = Q T and Rᴴ = P L.
  void project(SmallMatrix<W>& C) {
    const Index m = C.rows, k = C.cols, n = f_.Rt.rows;
    SmallMatrix<W> P = wide(f_.Rt, true), Tc, Tr, AP, V, Vh;
    for (SmallMatrix<W>* M : {&Tc, &Tr, &V, &Vh}) M->resize(k, k);
    dense::qr<W>(C.view(), Tc.view());
    dense::qr<W>(P.view(), Tr.view());
    {
      Arena<S> arena;
      arena.begin(s_, (Arena<S>::padded(m) + Arena<S>::padded(n)) * k);
      const BlockView<T> X = arena.block(n, k), Y = arena.block(m, k);
      for (Index j = 0; j < k; ++j) {
        for (Index i = 0; i < n; ++i) X(i, j) = static_cast<T>(P(i, j));
      }
      source_.times(X, Y);
      AP.resize(m, k);
      for (Index j = 0; j < k; ++j) {
        for (Index i = 0; i < m; ++i) AP(i, j) = static_cast<W>(Y(i, j));
      }
    }
    dense::multiply<W>(C.view(), AP.view(), V.view(), true);
    dense::solve_upper<W>(Tc.view(), V.view());
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i < k; ++i) Vh(i, j) = conjugate(V(j, i));
    }
    dense::solve_upper<W>(Tr.view(), Vh.view());
    round(Vh, true);
  }

  /// U = V or Vᴴ in the precision that it is returned in.
  void round(SmallMatrix<W>& V, bool adjoint) {
    for (Index j = 0; j < V.cols; ++j) {
      for (Index i = 0; i < V.rows; ++i) {
        f_.U(i, j) = static_cast<T>(adjoint ? conjugate(V(j, i)) : V(i, j));
      }
    }
  }

  double error() {
    SmallMatrix<W>& Y = columns_.sketch();
    const Index d = Y.rows, n = Y.cols, k = f_.C.cols;
    SmallMatrix<W> YJ, U, YU, R, E;
    YJ.resize(d, k);
    U.resize(k, k);
    YU.resize(d, k);
    R.resize(k, n);
    E.resize(d, n);
    for (Index j = 0; j < k; ++j) {
      std::copy_n(&Y(0, f_.columns[static_cast<std::size_t>(j)]), d, &YJ(0, j));
      for (Index i = 0; i < k; ++i) U(i, j) = static_cast<W>(f_.U(i, j));
      for (Index i = 0; i < n; ++i) R(j, i) = static_cast<W>(f_.Rt(i, j));
    }
    if (k > 0) {
      dense::multiply<W>(YJ.view(), U.view(), YU.view());
      dense::multiply<W>(YU.view(), R.view(), E.view());
    }
    double sum = 0.0;
    for (std::size_t i = 0; i < Y.data.size(); ++i) sum += std::norm(Y.data[i] - E.data[i]);
    return std::sqrt(sum / (columns_.exact() ? 1.0 : static_cast<double>(d)));
  }

  static SmallMatrix<W> wide(SmallMatrix<T>& X, bool conjugated) {
    SmallMatrix<W> Y;
    Y.resize(X.rows, X.cols);
    for (Index j = 0; j < X.cols; ++j) {
      for (Index i = 0; i < X.rows; ++i) {
        const W x = static_cast<W>(X(i, j));
        Y(i, j) = conjugated ? conjugate(x) : x;
      }
    }
    return Y;
  }
  static bool finite(const SmallMatrix<W>& M) {
    return std::all_of(M.data.begin(), M.data.end(),
                       [](const W& x) { return std::isfinite(std::abs(x)); });
  }

  InterpolativeOutcome abandon(InterpolativeOutcome out, Status status) {
    f_ = {};
    f_.C.resize(source_.rows(), 0);
    f_.Rt.resize(source_.cols(), 0);
    out.rank = 0;
    out.residual = status == Status::converged ? 0.0 : std::numeric_limits<double>::quiet_NaN();
    return finish(out, status);
  }
  InterpolativeOutcome finish(InterpolativeOutcome out, Status status) {
    out.status = status;
    out.verified = status == Status::converged;
    out.products = source_.products();
    out.seconds = columns_.clock().seconds();
    return out;
  }

  S& s_;
  SkeletonSource<T>& source_;
  Cur<T>& f_;
  CurOptions opt_;
  InterpolativeRun<T> columns_;
};

template <Field T>
InterpolativeOutcome cur(HostSpace<T>& space, SkeletonSource<T>& source, Cur<T>& to,
                         const CurOptions& opt, const Monitor& monitor = {}) {
  return CurRun<T>(space, source, to, opt, monitor).run();
}

}  // namespace ritz
