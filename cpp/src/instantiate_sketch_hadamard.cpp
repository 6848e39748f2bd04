#include "ritz/compiled/sketch.hpp"
#include "ritz/sketch/fastfood.hpp"
#include "ritz/sketch/khatri_rao.hpp"
#include "ritz/sketch/srht.hpp"

namespace ritz::compiled {

template <Field T>
AnySketch<T> srht(Index d, Index m, std::uint64_t seed, Index rounds) {
  return AnySketch<T>(Srht<T>(d, m, seed, rounds));
}
template <Field T>
AnySketch<T> fastfood(Index d, Index m, std::uint64_t seed) {
  return AnySketch<T>(Fastfood<T>(d, m, seed));
}
template <Field T>
AnySketch<T> khatri_rao(Index d, const std::vector<Index>& sizes, std::uint64_t seed, bool normal) {
  const FactorKind kind = normal ? FactorKind::normal : FactorKind::signs;
  return AnySketch<T>(KhatriRao<T>(d, sizes, seed, kind));
}
template <Field T>
AnySketch<T> khatri_rao_factor(Index d, Index m, std::uint64_t seed, Index k, bool normal) {
  const FactorKind kind = normal ? FactorKind::normal : FactorKind::signs;
  return AnySketch<T>(KhatriRaoFactor<T>(d, m, seed, k, kind));
}
template <Field T>
void fwht(MatrixView<const T> A, Index N, RealOf<T> c, T* out) {
  hadamard_padded(A, N, c, out);
}

template RITZ_API AnySketch<float> srht(Index, Index, std::uint64_t, Index);
template RITZ_API AnySketch<double> srht(Index, Index, std::uint64_t, Index);
template RITZ_API AnySketch<std::complex<float>> srht(Index, Index, std::uint64_t, Index);
template RITZ_API AnySketch<std::complex<double>> srht(Index, Index, std::uint64_t, Index);

template RITZ_API AnySketch<float> fastfood(Index, Index, std::uint64_t);
template RITZ_API AnySketch<double> fastfood(Index, Index, std::uint64_t);
template RITZ_API AnySketch<std::complex<float>> fastfood(Index, Index, std::uint64_t);
template RITZ_API AnySketch<std::complex<double>> fastfood(Index, Index, std::uint64_t);

template RITZ_API AnySketch<float> khatri_rao(Index, const std::vector<Index>&, std::uint64_t,
                                              bool);
template RITZ_API AnySketch<double> khatri_rao(Index, const std::vector<Index>&, std::uint64_t,
                                               bool);
template RITZ_API AnySketch<std::complex<float>> khatri_rao(Index, const std::vector<Index>&,
                                                            std::uint64_t, bool);
template RITZ_API AnySketch<std::complex<double>> khatri_rao(Index, const std::vector<Index>&,
                                                             std::uint64_t, bool);

template RITZ_API AnySketch<float> khatri_rao_factor(Index, Index, std::uint64_t, Index, bool);
template RITZ_API AnySketch<double> khatri_rao_factor(Index, Index, std::uint64_t, Index, bool);
template RITZ_API AnySketch<std::complex<float>> khatri_rao_factor(Index, Index, std::uint64_t,
                                                                   Index, bool);
template RITZ_API AnySketch<std::complex<double>> khatri_rao_factor(Index, Index, std::uint64_t,
                                                                    Index, bool);

template RITZ_API void fwht(MatrixView<const float>, Index, float, float*);
template RITZ_API void fwht(MatrixView<const double>, Index, double, double*);
template RITZ_API void fwht(MatrixView<const std::complex<float>>, Index, float,
                            std::complex<float>*);
template RITZ_API void fwht(MatrixView<const std::complex<double>>, Index, double,
                            std::complex<double>*);

}  // namespace ritz::compiled
