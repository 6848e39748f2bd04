// Many right-hand sides at once: one run a column, each at its own pace and with its own ending,
// whose products with the operator are made together as block products.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "ritz/krylov/run.hpp"

namespace ritz {

/// Runs all of `runs` to their ends. The products that they wait for are copied into blocks of one
/// kind each, which costs four passes over a column beside the product. `batched`: A is block
/// diagonal, its j-th block for column j, so that a column keeps its place in every product.
template <Space S, class Op, class P>
void run_columns(S& space, std::span<AbstractStepper<typename S::Value>* const> runs, const Op& A,
                 const P& M, bool batched) {
  using T = typename S::Value;
  using Reason = typename Pause<T>::Reason;
  const auto count = static_cast<Index>(runs.size());
  const Index longest = std::max(A.rows(), A.cols());
  Arena<S> arena;
  arena.begin(space, 2 * count * Arena<S>::padded(longest));
  const BlockView<T> in = arena.block(longest, count), out = arena.block(longest, count);
  for (Index j = 0; j < count; ++j) space.fill(0.0, in.column(j));

  std::vector<bool> going(runs.size());
  for (std::size_t j = 0; j < runs.size(); ++j) {
    runs[j]->pause().at_products = true;
    going[j] = runs[j]->next();
  }
  const auto make_products = [&](Reason reason, Index rows, Index cols, auto&& apply) {
    std::vector<std::pair<std::size_t, Index>> waiting;  // a run and its column in the block
    for (std::size_t j = 0; j < runs.size(); ++j) {
      if (going[j] && runs[j]->pause().reason == reason) {
        waiting.emplace_back(j, static_cast<Index>(batched ? j : waiting.size()));
      }
    }
    if (waiting.empty()) return;
    const Index width = batched ? count : static_cast<Index>(waiting.size());
    const BlockView<T> X{in.data, cols, width, in.ld}, Y{out.data, rows, width, out.ld};
    for (const auto& [j, column] : waiting) space.copy(runs[j]->pause().in, X.column(column));
    apply(BlockView<const T>(X), Y);
    for (const auto& [j, column] : waiting) space.copy(Y.column(column), runs[j]->pause().out);
    for (const auto& [j, column] : waiting) going[j] = runs[j]->next();
  };
  while (std::find(going.begin(), going.end(), true) != going.end()) {
    make_products(Reason::apply, A.rows(), A.cols(),
                  [&](auto X, auto Y) { apply_columns(A, X, Y); });
    make_products(Reason::apply_adjoint, A.cols(), A.rows(),
                  [&](auto X, auto Y) { apply_adjoint_columns(A, X, Y); });
    if constexpr (!std::same_as<P, NoPreconditioner>) {
      make_products(Reason::precondition, A.cols(), A.cols(),
                    [&](auto X, auto Y) { apply_columns(M, X, Y); });
    }
  }
}

}  // namespace ritz
