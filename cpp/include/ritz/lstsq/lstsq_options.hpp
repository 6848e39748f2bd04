// Options and outcomes of randomized least squares.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>

#include "ritz/core/status.hpp"

namespace ritz {

enum class LstsqMethod : int {
  automatic = 0,
  spir = 1,      ///< sketch and precondition, conjugate gradients, refined
  momentum = 2,  ///< iterative sketching with momentum, refined (FOSSILS)
  qr = 3,        ///< no sketch: the triangle of A itself
};

struct LstsqOptions {
  double damp = 0.0;                            ///< Tikhonov parameter: adds damp² ‖x‖²
  LstsqMethod method = LstsqMethod::automatic;  ///< automatic: spir or qr, by a model of the work
  Index d = 0;                                  ///< rows of the sketch; 0: by the model
  double rtol = 0.0;                            ///< backward error wanted; 0: eps of the precision
  Index max_iterations = 0;                     ///< 0: 1000
  Index refinements = 6;                        ///< times that the residual is solved for, at most

  template <class F>
  void visit(F f) {
    f("damp", damp);
    f("d", d);
    f("rtol", rtol);
    f("max_iterations", max_iterations);
    f("refinements", refinements);
  }
};

/// Of one column of b. `residual` is ‖[b − Ax; damp x]‖; `target` what `backward_error` was asked
/// to come down to.
struct LstsqOutcome : Outcome {
  double backward_error = std::numeric_limits<double>::quiet_NaN();   ///< see backward_error.hpp
  double normal_residual = std::numeric_limits<double>::quiet_NaN();  ///< ‖Aᴴ(b − Ax) − damp² x‖
  double norm_b = 0.0;
  double norm_x = 0.0;
  Index refinements = 0;  ///< times that the residual was solved for
};

/// What all columns share.
struct LstsqAccount {
  LstsqMethod method = LstsqMethod::automatic;  ///< the one that ran
  Index d = 0;                                  ///< rows of the sketch; m: none was made
  Index rank = 0;
  double condition = std::numeric_limits<double>::quiet_NaN();  ///< of A with scaled columns
  Index iterations = 0;  ///< of all groups of columns together
  Index passes = 0;      ///< readings of A
  Counts products;
  double seconds = 0.0;
};

/// One sentence for people. `unit` is the unit roundoff of A.
inline std::string message(const LstsqOutcome& out, const LstsqAccount& account, double unit) {
  char numbers[112];
  std::snprintf(numbers, sizeof numbers,
                " after %lld iterations: backward error %.3e, target %.3e; ",
                static_cast<long long>(out.iterations), out.backward_error, out.target);
  std::string text = name(out.status) + std::string(numbers);
  text += out.status == Status::converged ? "the backward error was evaluated on the true residual"
                                          : advice(out.status);
  if (account.condition * unit >= 5e-3 && out.residual >= std::sqrt(unit) * out.norm_b) {
    text +=
        "; A is nearly rank-deficient and the residual is not small: other x with the same "
        "backward "
        "error lie far from this one, unless damp chooses";
  }
  return text;
}

/// The method and the d that a model of the work prefers: multiplications in blocks that stay in
/// cache count 1, those of a pass over A three each as they wait for memory.
struct LstsqPlan {
  LstsqMethod method;
  Index d;

  /// A of m × n, k right-hand sides, `pass` multiplications in a product. What is not in memory is
  /// formed only where m ≤ 4 n or the sketch would be no shorter than half of A.
  static LstsqPlan of(Index m, Index n, Index k, double pass, bool in_memory,
                      const LstsqOptions& opt) {
    const double size = static_cast<double>(m) * static_cast<double>(n);
    const double columns = std::max(1.0, 0.4 * static_cast<double>(k));
    const double direct = size * static_cast<double>(n + 2 * k);
    double least = INFINITY;
    Index q = 4;
    for (const Index candidate : {4, 6, 8, 12, 16, 24, 32}) {
      const auto ratio = static_cast<double>(candidate);
      const double iterations = 32.0 / std::log10(ratio) + 3.0;  // to 1e-16 by √(n/d) each
      const double factor = ratio * std::pow(static_cast<double>(n), 3);
      const double work = factor + pass * (8.0 + 6.0 * columns * iterations);
      if (work < least) {
        least = work;
        q = candidate;
      }
    }
    const Index d = opt.d > 0 ? opt.d : std::min(q * n, std::max(m / 2, 4 * n));
    const bool no_gain = opt.d == 0 && (m <= 4 * n || 2 * d > m || (in_memory && direct <= least));
    if (opt.method == LstsqMethod::qr || d >= m) return {LstsqMethod::qr, m};
    if (opt.method != LstsqMethod::automatic) return {opt.method, d};
    return no_gain ? LstsqPlan{LstsqMethod::qr, m} : LstsqPlan{LstsqMethod::spir, d};
  }
};

}  // namespace ritz
