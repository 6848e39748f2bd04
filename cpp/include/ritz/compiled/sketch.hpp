// The sketches of every kind, made for type-erased use.
#pragma once

#include "ritz/sketch/sketch.hpp"

namespace ritz::compiled {

// instantiate_sketch_sparse.cpp
template <Field T>
RITZ_API AnySketch<T> sparse_stack(Index d, Index m, std::uint64_t seed, Index nnz);
template <Field T>
RITZ_API AnySketch<T> sparse_sign(Index d, Index m, std::uint64_t seed, Index nnz);

// instantiate_sketch_dense.cpp
template <Field T>
RITZ_API AnySketch<T> gaussian(Index d, Index m, std::uint64_t seed);
template <Field T>
RITZ_API AnySketch<T> rademacher(Index d, Index m, std::uint64_t seed);
template <Field T>
RITZ_API AnySketch<T> orthogonal(Index d, Index m, std::uint64_t seed);

// instantiate_sketch_hadamard.cpp
template <Field T>
RITZ_API AnySketch<T> srht(Index d, Index m, std::uint64_t seed, Index rounds);
template <Field T>
RITZ_API AnySketch<T> fastfood(Index d, Index m, std::uint64_t seed);
template <Field T>
RITZ_API AnySketch<T> khatri_rao(Index d, const std::vector<Index>& sizes, std::uint64_t seed,
                                 bool normal);
template <Field T>
RITZ_API AnySketch<T> khatri_rao_factor(Index d, Index m, std::uint64_t seed, Index k, bool normal);
template <Field T>
RITZ_API void fwht(MatrixView<const T> A, Index N, RealOf<T> c, T* out);

}  // namespace ritz::compiled
