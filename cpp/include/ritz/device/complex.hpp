// Complex arithmetic that a device can do as well.
#pragma once

namespace ritz::device {

/// std::complex, whose operators a device lacks. Where the imaginary parts are zero, the real ones
/// are those of real arithmetic, bit by bit.
template <class R>
struct Complex {
  R re, im;

  constexpr Complex() : re(0), im(0) {}
  constexpr Complex(R x, R y = R(0)) : re(x), im(y) {}
  template <class Q>
  constexpr explicit Complex(Complex<Q> z) : re(static_cast<R>(z.re)), im(static_cast<R>(z.im)) {}

  friend constexpr Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  friend constexpr Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
  friend constexpr Complex operator-(Complex a) { return {-a.re, -a.im}; }
  friend constexpr Complex operator*(Complex a, Complex b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
  }
  /// Scaled so that |b|² need not be representable.
  friend constexpr Complex operator/(Complex a, Complex b) {
    const R x = b.re < R(0) ? -b.re : b.re, y = b.im < R(0) ? -b.im : b.im;
    if (x >= y) {
      const R t = b.im / b.re, d = b.re + b.im * t;
      return {(a.re + a.im * t) / d, (a.im - a.re * t) / d};
    }
    const R t = b.re / b.im, d = b.re * t + b.im;
    return {(a.re * t + a.im) / d, (a.im * t - a.re) / d};
  }
  friend constexpr bool operator==(Complex a, Complex b) { return a.re == b.re && a.im == b.im; }
  constexpr Complex& operator+=(Complex a) { return *this = *this + a; }
  constexpr Complex& operator-=(Complex a) { return *this = *this - a; }
  friend constexpr Complex conj(Complex z) { return {z.re, -z.im}; }
};

}  // namespace ritz::device
