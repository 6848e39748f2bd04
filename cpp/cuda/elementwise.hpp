// The formulas of the elementwise kernels, for one element each: what a device runs in every thread
// is what a test on the host runs in a loop.
#pragma once

#include "ritz/device/backend.hpp"
#include "ritz/device/complex.hpp"
#include "ritz/sketch/philox.hpp"

namespace ritz::device {

/// What a kernel calls T, and the type of its sums.
template <class E>
struct ElementTraits {
  using Real = E;
  using Wide = double;
  static constexpr bool kComplex = false;
};
template <class R>
struct ElementTraits<Complex<R>> {
  using Real = R;
  using Wide = Complex<double>;
  static constexpr bool kComplex = true;
};
template <class E>
using WideElement = typename ElementTraits<E>::Wide;
template <class E>
using RealElement = typename ElementTraits<E>::Real;

constexpr float conj(float x) { return x; }
constexpr double conj(double x) { return x; }
constexpr double real_part(double x) { return x; }
constexpr double real_part(Complex<double> z) { return z.re; }
template <class E>
constexpr WideElement<E> widen(E x) {
  return static_cast<WideElement<E>>(x);
}
/// |x|² in double precision.
template <class E>
constexpr double square(E x) {
  if constexpr (ElementTraits<E>::kComplex) {
    const double re = static_cast<double>(x.re), im = static_cast<double>(x.im);
    return re * re + im * im;
  } else {
    return static_cast<double>(x) * static_cast<double>(x);
  }
}
/// x̄ y in double precision.
template <class E>
constexpr WideElement<E> product(E x, E y) {
  return conj(widen(x)) * widen(y);
}

/// The value of a coefficient, in device memory.
template <class E>
constexpr WideElement<E> value_of(const Coefficient& c) {
  using W = WideElement<E>;
  if constexpr (ElementTraits<E>::kComplex) {
    const W factor(c.re, c.im);
    if (c.above == nullptr) return factor;
    if (c.below == nullptr) return factor * W(c.above[0], c.above[1]);
    return factor * (W(c.above[0], c.above[1]) / W(c.below[0], c.below[1]));
  } else {
    if (c.above == nullptr) return c.re;
    return c.re * (c.below == nullptr ? c.above[0] : c.above[0] / c.below[0]);
  }
}
/// A sum takes two doubles, whatever its field.
constexpr void put(double* to, double sum) {
  to[0] = sum;
  to[1] = 0.0;
}
constexpr void put(double* to, Complex<double> sum) {
  to[0] = sum.re;
  to[1] = sum.im;
}
/// A double of a recurrence, with the zero after it where its numbers are real.
template <std::size_t Stride>
constexpr void put_scalar(double* to, double x) {
  to[0] = x;
  if constexpr (Stride == 2) to[1] = 0.0;
}

constexpr bool frozen(const Guard& guard) { return guard.x != nullptr && *guard.x <= guard.bound; }

// ---- the kernels: e are the elements of the vectors, c the coefficients ----
//
// Vector k is read if bit k of `Reads` is set, and then unless coefficient unless(k) is zero; it
// is written if bit k of `Writes` is. What is not read is zero.

template <unsigned Reads, unsigned Writes>
struct Pattern {
  static constexpr unsigned kReads = Reads, kWrites = Writes;
  static constexpr int unless(int) { return -1; }  // none
};

template <class E>
struct Copy : Pattern<0b01, 0b10> {
  static constexpr void apply(E* e, const E*) { e[1] = e[0]; }
};
template <class E>
struct Fill : Pattern<0b0, 0b1> {
  static constexpr void apply(E* e, const E* c) { e[0] = c[0]; }
};
template <class E>
struct Scale : Pattern<0b1, 0b1> {
  static constexpr void apply(E* e, const E* c) { e[0] = c[0] * e[0]; }
};
template <class E>
struct Axpby : Pattern<0b11, 0b10> {
  static constexpr int unless(int k) { return k == 1 ? 1 : -1; }
  static constexpr void apply(E* e, const E* c) { e[1] = c[0] * e[0] + c[1] * e[1]; }
};
template <class E>
struct AxpbyNorm2 : Axpby<E> {
  static constexpr double apply(E* e, const E* c) {
    Axpby<E>::apply(e, c);
    return square(e[1]);
  }
};
template <class E>
struct Add3Norm2 : Pattern<0b111, 0b100> {
  static constexpr int unless(int k) { return k == 1 || k == 2 ? k : -1; }
  static constexpr double apply(E* e, const E* c) {
    e[2] = c[0] * e[0] + c[1] * e[1] + c[2] * e[2];
    return square(e[2]);
  }
};
template <class E>
struct AxpyXpby : Pattern<0b111, 0b011> {
  static constexpr void apply(E* e, const E* c) {
    e[1] = e[1] + c[0] * e[0];
    e[0] = e[2] + c[1] * e[0];
  }
};
template <class E>
struct Step3 : Pattern<0b1111, 0b1010> {
  static constexpr int unless(int k) { return k == 1 || k == 2 ? k : -1; }
  static constexpr void apply(E* e, const E* c) {
    e[1] = c[0] * e[0] + c[1] * e[1] + c[2] * e[2];
    e[3] = e[3] + c[3] * e[1];
  }
};
template <class E>
struct Update3 : Pattern<0b1111, 0b1011> {
  static constexpr double apply(E* e, const E* c) {
    e[0] = e[3] + c[0] * e[0];
    e[1] = e[1] + c[1] * e[0];
    e[3] = c[2] * e[2] + c[3] * e[3];
    return square(e[1]);
  }
};
template <class E>
struct Rotate2 : Pattern<0b11, 0b11> {
  static constexpr void apply(E* e, const E* c) {
    const E x = e[0], y = e[1];
    e[0] = c[0] * x + c[1] * y;
    e[1] = c[0] * y - conj(c[1]) * x;
  }
};
template <class E>
struct Dot : Pattern<0b11, 0b0> {
  static constexpr WideElement<E> apply(E* e, const E*) { return product(e[0], e[1]); }
};
template <class E>
struct RealDot : Pattern<0b11, 0b0> {
  static constexpr double apply(E* e, const E*) { return real_part(product(e[0], e[1])); }
};
template <class E>
struct Norm2 : Pattern<0b1, 0b0> {
  static constexpr double apply(E* e, const E*) { return square(e[0]); }
};
template <class E>
struct Multiply : Pattern<0b011, 0b100> {
  static constexpr void apply(E* e, const E*) { e[2] = e[0] * e[1]; }
};
template <class E>
struct MultiplyAdd : Pattern<0b111, 0b100> {
  static constexpr void apply(E* e, const E* c) { e[2] = e[2] + c[0] * e[0] * e[1]; }
};
template <class E>
struct MultiplyAddConjugate : Pattern<0b111, 0b100> {
  static constexpr void apply(E* e, const E* c) { e[2] = e[2] + c[0] * e[0] * conj(e[1]); }
};
template <class E>
struct AddSquares : Pattern<0b11, 0b10> {
  static constexpr void apply(E* e, const E* c) { e[1] = e[1] + c[0] * (e[0] * conj(e[0])); }
};
template <class E>
struct Reciprocal : Pattern<0b01, 0b10> {
  static constexpr void apply(E* e, const E*) { e[1] = e[0] == E(0) ? E(1) : E(1) / e[0]; }
};

/// visit.operator()<Op>() for the elementwise kernel of this name; false if it is not one.
template <class E, class F>
constexpr bool visit_elementwise(Kernel kernel, F&& visit) {
  const auto run = [&]<class Op>() {
    visit.template operator()<Op>();
    return true;
  };
  switch (kernel) {
    case Kernel::copy:
      return run.template operator()<Copy<E>>();
    case Kernel::fill:
      return run.template operator()<Fill<E>>();
    case Kernel::scale:
      return run.template operator()<Scale<E>>();
    case Kernel::axpby:
      return run.template operator()<Axpby<E>>();
    case Kernel::axpby_norm2:
      return run.template operator()<AxpbyNorm2<E>>();
    case Kernel::add3_norm2:
      return run.template operator()<Add3Norm2<E>>();
    case Kernel::axpy_xpby:
      return run.template operator()<AxpyXpby<E>>();
    case Kernel::step3:
      return run.template operator()<Step3<E>>();
    case Kernel::update3:
      return run.template operator()<Update3<E>>();
    case Kernel::rotate2:
      return run.template operator()<Rotate2<E>>();
    case Kernel::dot:
      return run.template operator()<Dot<E>>();
    case Kernel::real_dot:
      return run.template operator()<RealDot<E>>();
    case Kernel::norm2:
      return run.template operator()<Norm2<E>>();
    case Kernel::multiply:
      return run.template operator()<Multiply<E>>();
    case Kernel::multiply_add:
      return run.template operator()<MultiplyAdd<E>>();
    case Kernel::multiply_add_conjugate:
      return run.template operator()<MultiplyAddConjugate<E>>();
    case Kernel::add_squares:
      return run.template operator()<AddSquares<E>>();
    case Kernel::reciprocal:
      return run.template operator()<Reciprocal<E>>();
    default:
      return false;
  }
}

/// Element i of a random fill; `Math` has sqrt, log and sincospi of doubles.
template <class E, class Math>
constexpr E random_element(Kernel kernel, std::uint64_t seed, std::uint64_t stream, Index i) {
  using R = RealElement<E>;
  constexpr bool kComplex = ElementTraits<E>::kComplex;
  if (kernel == Kernel::random_signs) return E(static_cast<R>(philox::sign(seed, stream, i)));
  const Index pair = kComplex || kernel == Kernel::random_uniform ? i : i / 2;
  const philox::Block b = philox::bits(seed, stream, pair);
  const std::uint64_t low = (std::uint64_t{b[1]} << 32) | b[0];
  const std::uint64_t high = (std::uint64_t{b[3]} << 32) | b[2];
  double u = 0.0, v = 0.0;
  if (kernel == Kernel::random_uniform) {
    u = (2.0 * static_cast<double>(low >> 12) + 1.0) * 0x1p-52 - 1.0;
    v = (2.0 * static_cast<double>(high >> 12) + 1.0) * 0x1p-52 - 1.0;
  } else {
    const double radius =
        Math::sqrt(-2.0 * Math::log((static_cast<double>(low >> 11) + 0.5) * 0x1p-53));
    Math::sincospi(2.0 * ((static_cast<double>(high >> 11) + 0.5) * 0x1p-53), &v, &u);
    u *= radius;
    v *= radius;
  }
  if constexpr (kComplex) {
    const double scale = kernel == Kernel::random_normal ? 0.70710678118654752440 : 1.0;
    return E(static_cast<R>(scale * u), static_cast<R>(scale * v));
  } else {
    return static_cast<R>(kernel == Kernel::random_normal && i % 2 == 1 ? v : u);
  }
}

}  // namespace ritz::device
