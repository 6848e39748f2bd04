#include "ritz/compiled/sketch.hpp"
#include "ritz/sketch/sparse_sign.hpp"
#include "ritz/sketch/sparse_stack.hpp"

namespace ritz::compiled {

template <Field T>
AnySketch<T> sparse_stack(Index d, Index m, std::uint64_t seed, Index nnz) {
  return AnySketch<T>(SparseStack<T>(d, m, seed, nnz));
}
template <Field T>
AnySketch<T> sparse_sign(Index d, Index m, std::uint64_t seed, Index nnz) {
  return AnySketch<T>(SparseSign<T>(d, m, seed, nnz));
}

template RITZ_API AnySketch<float> sparse_stack(Index, Index, std::uint64_t, Index);
template RITZ_API AnySketch<double> sparse_stack(Index, Index, std::uint64_t, Index);
template RITZ_API AnySketch<std::complex<float>> sparse_stack(Index, Index, std::uint64_t, Index);
template RITZ_API AnySketch<std::complex<double>> sparse_stack(Index, Index, std::uint64_t, Index);

template RITZ_API AnySketch<float> sparse_sign(Index, Index, std::uint64_t, Index);
template RITZ_API AnySketch<double> sparse_sign(Index, Index, std::uint64_t, Index);
template RITZ_API AnySketch<std::complex<float>> sparse_sign(Index, Index, std::uint64_t, Index);
template RITZ_API AnySketch<std::complex<double>> sparse_sign(Index, Index, std::uint64_t, Index);

}  // namespace ritz::compiled
