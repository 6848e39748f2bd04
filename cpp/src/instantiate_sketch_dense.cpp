#include "ritz/compiled/sketch.hpp"
#include "ritz/sketch/gaussian.hpp"
#include "ritz/sketch/orthogonal.hpp"

namespace ritz::compiled {

template <Field T>
AnySketch<T> gaussian(Index d, Index m, std::uint64_t seed) {
  return AnySketch<T>(Gaussian<T>(d, m, seed));
}
template <Field T>
AnySketch<T> rademacher(Index d, Index m, std::uint64_t seed) {
  return AnySketch<T>(Rademacher<T>(d, m, seed));
}
template <Field T>
AnySketch<T> orthogonal(Index d, Index m, std::uint64_t seed) {
  return AnySketch<T>(Orthogonal<T>(d, m, seed));
}

template RITZ_API AnySketch<float> gaussian(Index, Index, std::uint64_t);
template RITZ_API AnySketch<double> gaussian(Index, Index, std::uint64_t);
template RITZ_API AnySketch<std::complex<float>> gaussian(Index, Index, std::uint64_t);
template RITZ_API AnySketch<std::complex<double>> gaussian(Index, Index, std::uint64_t);

template RITZ_API AnySketch<float> rademacher(Index, Index, std::uint64_t);
template RITZ_API AnySketch<double> rademacher(Index, Index, std::uint64_t);
template RITZ_API AnySketch<std::complex<float>> rademacher(Index, Index, std::uint64_t);
template RITZ_API AnySketch<std::complex<double>> rademacher(Index, Index, std::uint64_t);

template RITZ_API AnySketch<float> orthogonal(Index, Index, std::uint64_t);
template RITZ_API AnySketch<double> orthogonal(Index, Index, std::uint64_t);
template RITZ_API AnySketch<std::complex<float>> orthogonal(Index, Index, std::uint64_t);
template RITZ_API AnySketch<std::complex<double>> orthogonal(Index, Index, std::uint64_t);

}  // namespace ritz::compiled
