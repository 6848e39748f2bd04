// The Nyström approximation of a positive semidefinite operator from its products with orthonormal
// vectors: its factorisation, its error, and what is done where rounding or noise of the products
// leaves the core indefinite.
// Tropp, Yurtsever, Udell, Cevher: Fixed-rank approximation of a positive-semidefinite matrix from
// streaming data. NIPS 2017 (shift). Epperly, Tropp: Efficient error and variance estimation for
// randomized matrix computations. SIAM J. Sci. Comput. 46, 2024 (leave-one-out error).
#pragma once

#include "ritz/dense/cholesky.hpp"
#include "ritz/dense/eigh.hpp"
#include "ritz/dense/qr.hpp"
#include "ritz/dense/svd.hpp"
#include "ritz/function/probes.hpp"
#include "ritz/function/xnystrace.hpp"
#include "ritz/lowrank/block_orthogonalize.hpp"

namespace ritz {

template <Space S>
struct NystromSketchWorkspace {
  /// Room for k columns; more are made room for as they come.
  void prepare(S& space, Index n, Index k) {
    for (GrowingBlock<S>* block : {&Omega, &Y, &U}) block->begin(space, n, k);
  }
  std::size_t bytes() const { return Omega.bytes() + Y.bytes() + U.bytes() + room.bytes(); }

  GrowingBlock<S> Omega, Y, U;
  CoefficientRoom<S> room;
};

/// What is left of A by an approximation of it.
struct NystromError {
  double frobenius = INFINITY;  ///< estimate of ‖A − Â‖_F
  double spectral = INFINITY;   ///< of ‖A − Â‖₂, where the eigenvalues left out decay
};

/// Â = U Λ Uᴴ = Y_ν (Ωᴴ Y_ν)⁻¹ Y_νᴴ − νUUᴴ, Y_ν = AΩ + νΩ, with ΩᴴΩ = I of normal vectors
/// G = Ω T. Columns may be appended; those that are there stay.
///
/// The shift ν = √n u ‖AΩ‖_F, or the asymmetry of Ωᴴ(AΩ) if that tells of less exact products,
/// keeps ΩᴴY_ν = L Lᴴ positive definite. Where it does not, ν grows by tens, three times; then the
/// eigenvalues of ΩᴴAΩ above the noise serve instead.
///
/// The approximation without column i of G leaves of it, for Y_ν L⁻ᴴ = Q R and c_i = L⁻¹T⁻ᴴe_i,
///
///     ‖(A_ν − Â_ν,₋ᵢ) g_i‖ = ‖R c_i‖ / ‖c_i‖²,   g_iᴴ (A_ν − Â_ν,₋ᵢ) g_i = 1 / ‖c_i‖²:
///
/// their means are unbiased for ‖A_ν − Â_ν‖²_F and tr(A_ν − Â_ν) of k − 1 columns.
///
/// For k columns about 20 k² n operations beside the products, in products of blocks, and O(k³) on
/// the host; a third more where the rank was doubled. Three blocks of k vectors are kept.
template <Space S>
class NystromSketch {
 public:
  using T = typename S::Value;
  using W = WideOf<T>;

  NystromSketch(S& space, Index n, RandomKey seed, NystromSketchWorkspace<S>& workspace)
      : s_(space), n_(n), seed_(seed), ws_(workspace), orthogonalize_(space, workspace.room) {}

  void reserve(Index k) {
    for (GrowingBlock<S>* block : {&ws_.Omega, &ws_.Y, &ws_.U}) block->reserve(s_, k);
  }
  /// Makes Ω have k columns, or as many as are independent to rounding; returns how many.
  Index draw(Index k) {
    constexpr std::uint64_t kPurpose = std::uint64_t{0x21} << 56;
    // The last of n columns has one random number left, which may be tiny: then others are drawn.
    for (std::uint64_t attempt = 0; drawn_ < k && attempt < 8; ++attempt) {
      const auto fresh = ws_.Omega.columns(drawn_, k - drawn_);
      for (Index j = 0; j < fresh.cols; ++j) {
        const auto stream = kPurpose + (attempt << 40) + static_cast<std::uint64_t>(drawn_ + j);
        s_.random_normal({seed_.seed, seed_.stream + stream}, fresh.column(j));
      }
      auto made = orthogonalize_(ws_.Omega.columns(0, drawn_), fresh);
      if (made.rank == fresh.cols) append(made);
    }
    complete_ = drawn_ == n_;
    return drawn_;
  }
  BlockView<T> Omega(Index start, Index count) const { return ws_.Omega.columns(start, count); }
  BlockView<T> Y(Index start, Index count) const { return ws_.Y.columns(start, count); }

  /// Takes in columns [start, start + count) of Y; false if one is not finite.
  bool absorb(Index start, Index count) {
    for (Index j = start; j < start + count; ++j) norm2_Y_ += s_.read(s_.norm2(ws_.Y.column(j)));
    return std::isfinite(norm2_Y_);
  }

  /// Forms U and Λ of the first k columns; false if A is not Hermitian positive semidefinite.
  bool factor(Index k) {
    project(k);
    k_ = k;
    shift_ = 0.0;
    if (norm2_Y_ == 0.0) return zero();
    SmallMatrix<W> H;
    const double asymmetry = hermitian_part(M_, k, H);
    constexpr double u = std::numeric_limits<RealOf<T>>::epsilon();
    const double norm_Y = std::sqrt(norm2_Y_);
    if (asymmetry > Nystrom<S>::kNoise * norm_Y) return false;
    floor_ = std::max(std::sqrt(static_cast<double>(n_)) * u * norm_Y, asymmetry);
    double shift = floor_;
    for (int attempt = 0; attempt < 4; ++attempt, shift *= 10.0) {
      SmallMatrix<W> L = H;
      for (Index i = 0; i < k; ++i) L(i, i) += shift;
      if (!dense::cholesky(L.view())) continue;
      Nystrom<S>::invert_lower(L);
      shift_ = shift;
      SmallMatrix<W> R;
      form_factor(adjoint(L), R);
      leave_one_out(L, R);
      return true;
    }
    return factor_by_eigenvalues(H);
  }

  double shift() const { return shift_; }
  /// Columns of U, eigenvalues in descending order.
  Index rank() const { return static_cast<Index>(lambda_.size()); }
  const std::vector<double>& lambda() const { return lambda_; }
  BlockView<T> U() const { return ws_.U.columns(0, rank()); }
  NystromError error() const { return error_; }
  /// ‖Â‖_F
  double norm() const {
    double sum = 0.0;
    for (const double x : lambda_) sum += x * x;
    return std::sqrt(sum);
  }
  /// Whether half of the columns found nothing but noise: more will not find more.
  bool exhausted() const { return rank() < k_ || lambda_[lambda_.size() / 2] <= shift_; }

 private:
  /// T = [T H; 0 R]
  void append(BlockFactors<W>& made) {
    const Index before = drawn_, fresh = made.rank;
    grow(T_, before + fresh, before + fresh);
    for (Index j = 0; j < fresh; ++j) {
      for (Index i = 0; i < before; ++i) T_(i, before + j) = made.H(i, j);
      for (Index i = 0; i < fresh; ++i) T_(before + i, before + j) = made.R(i, j);
    }
    drawn_ += fresh;
  }

  /// M = ΩᴴY for k columns, what is there already kept.
  void project(Index k) {
    const Index before = projected_, fresh = k - before;
    if (fresh <= 0) return;
    grow(M_, k, k);
    const auto write = [&](SmallMatrix<W> C, Index row, Index col) {
      for (Index j = 0; j < C.cols; ++j) {
        for (Index i = 0; i < C.rows; ++i) M_(row + i, col + j) = C(i, j);
      }
    };
    write(orthogonalize_.coefficients(Omega(before, fresh), Y(0, before)), before, 0);
    write(orthogonalize_.coefficients(Omega(0, k), Y(before, fresh)), 0, before);
    projected_ = k;
  }

  /// H = (M + Mᴴ) / 2 of the leading k × k; returns ‖M − Mᴴ‖_F.
  static double hermitian_part(SmallMatrix<W>& M, Index k, SmallMatrix<W>& H) {
    H.resize(k, k);
    double apart = 0.0;
    for (Index j = 0; j < k; ++j) {
      for (Index i = 0; i <= j; ++i) {
        const W upper = M(i, j), lower = conjugate(M(j, i));
        apart += (i < j ? 2.0 : 1.0) * std::norm(upper - lower);
        H(i, j) = (upper + lower) / 2.0;
        H(j, i) = conjugate(H(i, j));
      }
    }
    return std::sqrt(apart);
  }

  static SmallMatrix<W> adjoint(SmallMatrix<W>& A) {
    SmallMatrix<W> B;
    B.resize(A.cols, A.rows);
    for (Index j = 0; j < A.cols; ++j) {
      for (Index i = 0; i < A.rows; ++i) B(j, i) = conjugate(A(i, j));
    }
    return B;
  }
  static SmallMatrix<W> multiply(SmallMatrix<W>& A, SmallMatrix<W>& B) {
    SmallMatrix<W> C;
    C.resize(A.rows, B.cols);
    dense::multiply<W>(A.view(), B.view(), C.view());
    return C;
  }

  bool zero() {
    for (Index j = 0; j < k_; ++j) s_.copy(ws_.Omega.column(j), ws_.U.column(j));
    lambda_.assign(static_cast<std::size_t>(k_), 0.0);
    floor_ = 0.0;
    error_ = {0.0, 0.0};
    return true;
  }

  /// The block of U = Y_ν C
  void combine(SmallMatrix<W> C) {
    for (Index j = 0; j < k_; ++j) {
      s_.copy(ws_.Y.column(j), ws_.U.column(j));
      if (shift_ > 0.0) s_.axpby(shift_, ws_.Omega.column(j), 1.0, ws_.U.column(j));
    }
    s_.combine(ws_.U.columns(0, k_), C.view());
  }

  /// U Λ_ν Uᴴ = F Fᴴ with F = Y_ν C = Q R, Λ = Λ_ν − ν.
  void form_factor(const SmallMatrix<W>& C, SmallMatrix<W>& R) {
    combine(C);
    auto made = orthogonalize_({}, ws_.U.columns(0, C.cols));
    R = std::move(made.R);
    SmallMatrix<W> P, V;
    P.resize(made.rank, made.rank);
    V.resize(C.cols, made.rank);
    lambda_.resize(static_cast<std::size_t>(made.rank));
    dense::svd<W>(R.view(), P.view(), lambda_, V.view());
    s_.combine(ws_.U.columns(0, made.rank), P.view());
    for (double& x : lambda_) x = std::max(x * x - shift_, 0.0);
  }

  void leave_one_out(SmallMatrix<W>& L_inverse, SmallMatrix<W>& R) {
    const auto k = static_cast<double>(k_), rest = static_cast<double>(n_) - k + 1.0;
    if (complete_ && k_ == drawn_) {  // nothing is left out
      error_ = {floor_, floor_};
      return;
    }
    SmallMatrix<W> Q, P, E;  // T⁻ᴴ = Q P⁻ᴴ for T = Q P
    Q.resize(k_, k_);
    P.resize(k_, k_);
    E.resize(k_, k_);
    for (Index j = 0; j < k_; ++j) {
      E(j, j) = 1.0;
      for (Index i = 0; i < k_; ++i) Q(i, j) = T_(i, j);
    }
    dense::qr<W>(Q.view(), P.view());
    dense::solve_upper<W>(P.view(), E.view(), true);
    SmallMatrix<W> QE = multiply(Q, E), C = multiply(L_inverse, QE), RC = multiply(R, C);
    double squares = 0.0, forms = 0.0;
    for (Index i = 0; i < k_; ++i) {
      const double c2 = std::real(inner<W>(C.column(i), C.column(i)));
      const double r2 = std::real(inner<W>(RC.column(i), RC.column(i)));
      squares += r2 / (c2 * c2) / k;
      forms += 1.0 / c2 / k;
    }
    // The shift is in A_ν, in n − k + 1 directions out of reach of the other columns, but not in A.
    squares += shift_ * (shift_ * rest - 2.0 * forms);
    forms -= shift_ * rest;
    error_.frobenius = std::max(std::sqrt(std::max(squares, 0.0)), floor_);
    // tr(E²) / tr(E) is a mean of the eigenvalues of E, a quarter of the largest for λ_j ~ j^−1.5.
    const double mean = forms > 0.0 ? squares / forms : error_.frobenius;
    error_.spectral = std::clamp(4.0 * mean, floor_, error_.frobenius);
  }

  /// The same from the eigenvalues of H above the noise, without a shift: for products that are
  /// less exact than their precision, with an operator whose rank the columns exhaust.
  bool factor_by_eigenvalues(SmallMatrix<W>& V) {
    constexpr double u = std::numeric_limits<RealOf<T>>::epsilon();
    std::vector<double> lambda(static_cast<std::size_t>(k_));
    dense::eigh<W>(V.view(), lambda);
    const double largest = std::max(lambda.back(), 0.0);
    if (lambda.front() < -Nystrom<S>::kNoise * largest || largest == 0.0) return false;
    const double noise = std::max(static_cast<double>(k_) * u * largest, -2.0 * lambda.front());
    Index dropped = 0;
    while (dropped < k_ && lambda[static_cast<std::size_t>(dropped)] <= noise) ++dropped;
    // What is dropped are products with random unit vectors from which Â takes nothing away.
    SmallMatrix<W> C = V;
    C.resize(k_, dropped);
    std::copy_n(V.data.begin(), C.data.size(), C.data.begin());
    combine(C);
    double squares = 0.0;
    for (Index j = 0; j < dropped; ++j) squares += s_.read(s_.norm2(ws_.U.column(j)));
    const auto left = static_cast<double>(n_ - k_ + dropped), count = static_cast<double>(dropped);
    error_.frobenius = std::max(std::sqrt(squares * left / std::max(count, 1.0)), floor_);
    error_.spectral = error_.frobenius;
    C.resize(k_, k_ - dropped);
    for (Index j = dropped; j < k_; ++j) {
      const double root = std::sqrt(lambda[static_cast<std::size_t>(j)]);
      for (Index i = 0; i < k_; ++i) C(i, j - dropped) = V(i, j) / root;
    }
    SmallMatrix<W> R;
    form_factor(C, R);
    return true;
  }

  S& s_;
  Index n_, k_ = 0, drawn_ = 0, projected_ = 0;
  bool complete_ = false;  // Ω spans everything
  RandomKey seed_;
  NystromSketchWorkspace<S>& ws_;
  BlockOrthogonalizer<S> orthogonalize_;
  SmallMatrix<W> T_, M_;
  std::vector<double> lambda_;
  double norm2_Y_ = 0.0, shift_ = 0.0;
  double floor_ = 0.0;  // errors that cannot be told from those of the products
  NystromError error_;
};

}  // namespace ritz
