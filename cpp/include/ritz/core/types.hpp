// The scalar vocabulary: index type, fields, and the wider types in which sums are taken.
#pragma once

#include <complex>
#include <concepts>
#include <cstdint>

#if defined(_WIN32)
#define RITZ_API __declspec(dllexport)
#else
#define RITZ_API __attribute__((visibility("default")))
#endif

namespace ritz {

using Index = std::int64_t;

template <class T>
concept RealField = std::same_as<T, float> || std::same_as<T, double>;
template <class T>
concept ComplexField =
    std::same_as<T, std::complex<float>> || std::same_as<T, std::complex<double>>;
template <class T>
concept Field = RealField<T> || ComplexField<T>;

template <Field T>
struct FieldTraits {
  using Real = T;       // type of |x|
  using Wide = double;  // type in which sums of products are taken
};
template <class R>
struct FieldTraits<std::complex<R>> {
  using Real = R;
  using Wide = std::complex<double>;
};

template <Field T>
using RealOf = typename FieldTraits<T>::Real;
/// Reductions are taken, and coefficients passed, in double precision whatever the vectors hold.
template <Field T>
using WideOf = typename FieldTraits<T>::Wide;

constexpr double conjugate(double a) { return a; }
constexpr std::complex<double> conjugate(std::complex<double> a) { return {a.real(), -a.imag()}; }

}  // namespace ritz
