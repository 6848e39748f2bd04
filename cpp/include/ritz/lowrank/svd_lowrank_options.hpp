// What `svd_lowrank` takes and returns.
#pragma once

#include <span>

#include "ritz/core/status.hpp"
#include "ritz/core/view.hpp"

namespace ritz {

enum class LowrankMethod : int { block_krylov = 0, subspace = 1 };

/// What an error of ‖A − U S Vᴴ‖_F is known from.
enum class LowrankError : int {
  leave_one_out = 0,  ///< ‖A‖_F² or what is left of it, estimated from the sketch's own columns
  norm = 1,           ///< ‖A‖_F² − ‖S‖_F² with the norm that was given
  held_out = 2,       ///< random vectors that the basis was not made of
  exact = 3,          ///< rank exhausted: the rest of S, to rounding
};

struct SvdLowrankOptions {
  Index k = 0;             ///< triplets wanted; 0: as many as the tolerance takes
  double tol = 0.0;        ///< with k: ‖A v − σ u‖ ≤ tol σ₁ for all; without: ‖A − U S Vᴴ‖_F ≤
                           ///< tol ‖A‖_F; 0 makes n_iter rounds
  Index block = 16;        ///< columns of one product
  Index n_iter = 7;        ///< rounds (Aᴴ, A) after the sketch; with a tolerance at most so many
  Index max_rank = 0;      ///< triplets at most, without k
  int method = 0;          ///< a LowrankMethod
  double norm = 0.0;       ///< ‖A‖_F, where it is known
  Index probes = 10;       ///< held-out vectors, for a tolerance without a known norm
  bool verify = true;      ///< measure the residuals: one product more of the last block
  std::uint64_t seed = 0;  ///< of the random vectors

  template <class F>
  void visit(F f) {
    f("k", k);
    f("tol", tol);
    f("block", block);
    f("n_iter", n_iter);
    f("max_rank", max_rank);
    f("method", method);
    f("norm", norm);
    f("probes", probes);
    f("verify", verify);
    f("seed", seed);
  }
};

struct SvdLowrankOutcome : Outcome {
  Index rank = 0;        ///< triplets returned
  Index basis = 0;       ///< columns of the basis that they were taken from
  Index passes = 0;      ///< block products
  double error = 0.0;    ///< of ‖A − U S Vᴴ‖_F
  double stderr_ = 0.0;  ///< its standard error
  double norm = 0.0;     ///< ‖A‖_F, known or estimated
  LowrankError kind = LowrankError::leave_one_out;
};

/// Where triplets go.
template <class T>
struct TripletsView {
  std::span<double> s, residuals;
  BlockView<T> U, V;
};

}  // namespace ritz
