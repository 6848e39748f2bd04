// The Hermitian eigenproblem A x = λ M x, and the operator of its spectral transformation, which
// is self-adjoint in the inner product of M. Ericsson, Ruhe: The spectral transformation Lanczos
// method for the numerical solution of large sparse generalized symmetric eigenvalue problems.
// Math. Comp. 35, 1980.
#pragma once

#include <concepts>

#include "ritz/core/error.hpp"
#include "ritz/core/status.hpp"
#include "ritz/op/concepts.hpp"

namespace ritz {

/// In the place of an operator that a problem does not have.
struct NoOperator {};

template <class P>
bool is_given(const P& p) {
  if constexpr (std::same_as<P, NoOperator>) {
    return false;
  } else if constexpr (requires { static_cast<bool>(p); }) {
    return static_cast<bool>(p);
  } else {
    return true;
  }
}

/// What is asked: operators by reference, and blocks of vectors in the space's memory.
template <Field T, class A, class M = NoOperator, class Minv = NoOperator, class OPinv = NoOperator>
struct HermitianProblem {
  const A& a;
  M mass{};                         ///< M, positive definite; I without it
  Minv mass_inverse{};              ///< M⁻¹: needed with M unless there is a solve
  OPinv solve{};                    ///< (A − σ M)⁻¹: the eigenvalues nearest σ are found through it
  double sigma = 0.0;               ///< σ
  BlockView<const T> start = {};    ///< the Krylov space starts from these, one or several
  BlockView<const T> deflate = {};  ///< known vectors: the search is orthogonal to them

  Index size() const { return a.rows(); }
  bool weighted() const { return is_given(mass); }
  bool inverted() const { return is_given(solve); }

  void check() const {
    if (a.rows() != a.cols()) throw InvalidArgument("A must be square: eigsh needs a Hermitian A");
    if (weighted() && !inverted() && !is_given(mass_inverse)) {
      throw InvalidArgument("M needs Minv, products with its inverse, or sigma and OPinv");
    }
    const auto check_operator = [&](const auto& p, const char* name) {
      if constexpr (!std::same_as<std::remove_cvref_t<decltype(p)>, NoOperator>) {
        if (is_given(p) && (p.rows() != size() || p.cols() != size())) {
          throw InvalidArgument(std::string(name) + " must be square, of the size of A");
        }
      }
    };
    check_operator(mass, "M");
    check_operator(mass_inverse, "Minv");
    check_operator(solve, "OPinv");
    if (start.cols > 0) check_size("v0", start.rows, size());
    if (deflate.cols > 0) check_size("deflate", deflate.rows, size());
  }
};

/// Products with the operators of a problem, counted: those with A apart from the others.
template <Field T, class Problem>
class SpectralTransformation {
 public:
  using Block = BlockView<T>;

  explicit SpectralTransformation(const Problem& problem) : p_(problem) {}

  /// Y = OP V: A V, M⁻¹A V or (A − σM)⁻¹M V, given M V; `scratch` is as large as Y.
  void product(Block V, Block MV, Block Y, Block scratch) {
    if (p_.inverted()) {
      other(p_.solve, p_.weighted() ? MV : V, Y);
    } else if (p_.weighted()) {
      a(V, scratch);
      other(p_.mass_inverse, scratch, Y);
    } else {
      a(V, Y);
    }
  }
  void a(Block X, Block Y) {
    (X.cols > 1 ? products.columns : products.apply) += X.cols;
    apply_columns(p_.a, BlockView<const T>(X), Y);
  }
  void mass(Block X, Block Y) { other(p_.mass, X, Y); }
  void mass_inverse(Block X, Block Y) { other(p_.mass_inverse, X, Y); }

  /// The eigenvalue of A x = λ M x that belongs to the eigenvalue θ of OP.
  double eigenvalue(double theta) const { return p_.inverted() ? p_.sigma + 1.0 / theta : theta; }

  Counts products;   ///< with A
  Index others = 0;  ///< with M, its inverse and the solve: columns

 private:
  template <class P>
  void other(const P& p, Block X, Block Y) {
    others += X.cols;
    if constexpr (!std::same_as<P, NoOperator>) apply_columns(p, BlockView<const T>(X), Y);
  }

  const Problem& p_;
};

}  // namespace ritz
