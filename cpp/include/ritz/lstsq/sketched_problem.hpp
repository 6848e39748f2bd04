// What least squares takes from one reading of A: the factor of its sketch, or of A itself.
#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ritz/lstsq/lstsq_options.hpp"
#include "ritz/lstsq/preconditioner.hpp"

namespace ritz {

/// S A and S B, or A and B where no sketch is made, scaled and factored.
template <Field T>
struct SketchedProblem {
  using W = WideOf<T>;

  bool finite = true;  ///< no NaN or infinity in A
  double size = 0.0;   ///< ‖A D‖_F: the root of the number of columns that are not zero
  std::optional<SketchedFactor<W>> factor;  ///< of S A D, with S B; none if A = 0

  /// make_sketch(d) is a Sketch of d rows. Throws InvalidArgument unless d ≥ n.
  template <class Rows, class MakeSketch>
  static SketchedProblem of(Rows& A, BlockView<const T> B, const LstsqPlan& plan, double damp,
                            const MakeSketch& make_sketch) {
    const Index n = A.cols(), d = plan.d;
    if (d < n) {
      throw InvalidArgument("d is " + std::to_string(d) + "; a sketch of A with " +
                            std::to_string(n) +
                            " columns needs more rows than that: " + std::to_string(4 * n) + " do");
    }
    if (plan.method == LstsqMethod::qr) {
      return of_matrices(A.matrix(), MatrixView<const T>(B), damp);
    }
    const auto S = make_sketch(d);
    // By rows, as most matrices are.
    SmallMatrix<T> memory(n, d), SB(d, B.cols);
    const MatrixView<T> SA{memory.data.data(), d, n, n, 1};
    A.sketch(S, SA);
    S.apply_matrix(MatrixView<const T>(B), MatrixView<T>(SB.view()));
    return of_matrices(SA, MatrixView<const T>(SB.view()), damp);
  }

 private:
  static SketchedProblem of_matrices(MatrixView<const T> SA, MatrixView<const T> SB, double damp) {
    SketchedProblem problem;
    std::vector<double> scale, shift;
    for (const double norm : column_norms(SA, damp)) {
      problem.finite &= std::isfinite(norm);
      problem.size += norm > 0.0 ? 1.0 : 0.0;
      scale.push_back(norm > 0.0 ? 1.0 / norm : 0.0);
      if (damp > 0.0) shift.push_back(damp * scale.back());
    }
    problem.size = std::sqrt(problem.size);
    if (problem.finite && problem.size > 0.0) {
      constexpr double kUnit = std::numeric_limits<RealOf<T>>::epsilon() / 2.0;
      Triangle<W> triangle = triangle_of<T>(SA, SB, scale, shift);
      problem.factor.emplace(std::move(triangle), std::move(scale), kUnit);
    }
    return problem;
  }

  /// ‖[S a_j; damp e_j]‖, which differ from those of A by no more than the sketch distorts.
  static std::vector<double> column_norms(MatrixView<const T> SA, double damp) {
    std::vector<double> sums(static_cast<std::size_t>(SA.cols), damp * damp);
    const auto add = [&](Index i, Index j) {
      sums[static_cast<std::size_t>(j)] += std::norm(static_cast<W>(SA(i, j)));
    };
    if (SA.row_stride == 1) {
      for (Index j = 0; j < SA.cols; ++j) {
        for (Index i = 0; i < SA.rows; ++i) add(i, j);
      }
    } else {
      for (Index i = 0; i < SA.rows; ++i) {
        for (Index j = 0; j < SA.cols; ++j) add(i, j);
      }
    }
    for (double& s : sums) s = std::sqrt(s);
    return sums;
  }
};

}  // namespace ritz
