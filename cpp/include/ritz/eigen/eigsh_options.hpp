// What `eigsh` is asked, and what it answers.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "ritz/core/error.hpp"
#include "ritz/core/status.hpp"
#include "ritz/core/view.hpp"
#include "ritz/eigen/which.hpp"
#include "ritz/space/concept.hpp"

namespace ritz {

struct EigshOptions {
  Index k = 6;                     ///< eigenpairs wanted, as SciPy
  Which which = Which::magnitude;  ///< as SciPy; of 1/(λ − σ) where there is a solve
  Index ncv = 0;                   ///< basis vectors; 0 means `default_ncv`
  Index max_basis = 0;             ///< at most this many basis vectors; 0 means no limit
  Index block_size = 1;            ///< eigenvalues of this multiplicity are found for certain
  Index max_restarts = 0;          ///< 0 means 10 n, as SciPy
  double tol = 0.0;                ///< residuals ≤ tol ‖A‖; 0 means what the precision allows
  bool interior = false;           ///< those nearest sigma, without a solve: harmonic Ritz values
  bool verify = true;              ///< evaluate the k residuals: k products
  RandomKey seed = {};             ///< of the starting vectors, and of new ones

  template <class F>
  void visit(F f) {
    f("k", k);
    f("ncv", ncv);
    f("max_basis", max_basis);
    f("block_size", block_size);
    f("max_restarts", max_restarts);
    f("tol", tol);
    f("interior", interior);
    f("verify", verify);
  }
};

/// Basis vectors by default: some more than SciPy's max(2k + 1, 20), which for ten pairs of a
/// Laplacian saves a quarter of the products; three blocks more for blocks.
constexpr Index default_ncv(Index k, Index block) {
  return std::max<Index>(2 * k + 10, 20) + 3 * (block - 1);
}

struct EigshOutcome : Outcome {
  Index restarts = 0;
  Index found = 0;      ///< pairs returned: k, or fewer if the run was stopped early
  Index converged = 0;  ///< pairs that meet the tolerance
  Index locked = 0;     ///< pairs that had left the recurrence
  double norm_a = 0.0;  ///< a lower bound of ‖A‖ (of ‖M⁻¹A‖ with M), the largest seen
};

/// Where the pairs go: `values` ascending; `residuals` ‖A v − λ M v‖; `bounds`, if it has room: how
/// far from each value an eigenvalue can be, rounding aside; `vectors` with VᴴMV = I.
template <Field T>
struct EigshResults {
  std::span<double> values, residuals, bounds;
  BlockView<T> vectors;

  void check(Index n, Index k) const {
    check_size("vectors", vectors.rows, n);
    for (const auto& [what, came] : {std::pair{"values", static_cast<Index>(values.size())},
                                     {"residuals", static_cast<Index>(residuals.size())},
                                     {"vectors", vectors.cols}}) {
      if (came < k) {
        throw InvalidArgument(std::string(what) + " has room for " + std::to_string(came) +
                              "; k = " + std::to_string(k) + " are wanted");
      }
    }
  }
};

}  // namespace ritz
