// The operations of a space on the vectors of one case, wherever these lie: what the tests of every
// space run, against ReferenceSpace.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "problems.hpp"

namespace ritz::testing {

using Fields = std::tuple<float, double, std::complex<float>, std::complex<double>>;

/// The vectors that operations work on, cut from one memory block: 4 vectors, V of kCols columns, X
/// and P of kShifts columns. `Derived` says where the block starts, and has the coefficients a
/// method would have as numbers (`numbers`) and as slots (`slots`), the slots for sums of arrays
/// (`out`), and takes single sums (`put`).
template <class Derived, Field T>
struct Operands {
  static constexpr Index kCols = 9, kShifts = 3, kCombined = 4;
  static constexpr std::size_t kNumbers = 64, kResults = 32;
  using Wide = WideOf<T>;

  explicit Operands(Index size) : n(size) {}
  static Index elements(Index n) { return (4 + kCols + 2 * kShifts) * (n + 1); }

  VectorView<T> vector(Index k) { return {self().start() + k * (n + 1), n}; }
  VectorView<T> x() { return vector(0); }
  VectorView<T> y() { return vector(1); }
  VectorView<T> z() { return vector(2); }
  VectorView<T> w() { return vector(3); }
  BlockView<T> block(Index first_column, Index cols) {
    return {self().start() + first_column * (n + 1), n, cols, n + 1};
  }
  BlockView<T> V() { return block(4, kCols); }
  BlockView<T> X() { return block(4 + kCols, kShifts); }
  BlockView<T> P() { return block(4 + kCols + kShifts, kShifts); }
  BlockView<const Wide> S() { return {self().numbers(0).data(), kCols, kCombined, kCols + 2}; }

  Wide a() { return self().numbers(0)[0]; }
  Wide b() { return self().numbers(0)[1]; }
  Wide c() { return self().numbers(0)[2]; }
  Wide d() { return self().numbers(0)[3]; }

  Index n;

 private:
  Derived& self() { return static_cast<Derived&>(*this); }
};

/// In memory of the host, so that a case can be copied and compared as a whole.
template <Field T>
struct Data : Operands<Data<T>, T> {
  using Base = Operands<Data<T>, T>;
  using Wide = WideOf<T>;

  Data(Index size, Index offset, std::uint64_t seed)
      : Base(size),
        first(offset),
        memory(gaussian<T>(offset + Base::elements(size), seed)),
        coefficients(gaussian<Wide>(Base::kNumbers, seed + 1)),
        results(Base::kResults) {}

  T* start() { return memory.data() + first; }
  std::span<const Wide> numbers(std::size_t from) { return std::span(coefficients).subspan(from); }
  std::span<Wide> slots(std::size_t from) { return std::span(coefficients).subspan(from); }
  std::span<Wide> out() { return results; }
  void put(std::size_t k, Wide sum) { results[k] = sum; }
  /// Every fifth element of x is zero.
  void zero_some() {
    for (Index i = 0; i < this->n; i += 5) this->x()[i] = T{};
  }

  Index first;
  std::vector<T> memory;
  std::vector<Wide> coefficients;
  std::vector<Wide> results;
};

/// What the sum is taken of decides how exact it is.
enum class Sum { none, of_inputs, of_results };

/// Calls test(name, kind of sum, operation) for every operation; operation(space, data) changes
/// the data's vectors and puts reduced scalars in its results.
template <Field T, class Test>
void for_each_operation(const Test& test) {
  test("copy", Sum::none, [](auto& s, auto& d) { s.copy(d.x(), d.y()); });
  test("fill", Sum::none, [](auto& s, auto& d) { s.fill(d.a(), d.x()); });
  test("scale", Sum::none, [](auto& s, auto& d) { s.scale(d.a(), d.x()); });
  test("axpby", Sum::none, [](auto& s, auto& d) { s.axpby(d.a(), d.x(), d.b(), d.y()); });
  test("axpby, b = 0", Sum::none, [](auto& s, auto& d) { s.axpby(d.a(), d.x(), 0.0, d.y()); });
  test("dot", Sum::of_inputs, [](auto& s, auto& d) { d.put(0, s.read(s.dot(d.x(), d.y()))); });
  test("real_dot", Sum::of_inputs,
       [](auto& s, auto& d) { d.put(0, s.read(s.real_dot(d.x(), d.y()))); });
  test("norm2", Sum::of_inputs, [](auto& s, auto& d) { d.put(0, s.read(s.norm2(d.x()))); });
  test("dots", Sum::of_inputs, [](auto& s, auto& d) {
    const auto sums = s.dots({{d.x(), d.y()}, {d.y(), d.y()}, {d.z(), d.x()}});
    for (std::size_t k = 0; k < sums.size(); ++k) d.put(k, s.read(sums[k]));
  });
  test("axpby_norm2", Sum::of_results,
       [](auto& s, auto& d) { d.put(0, s.read(s.axpby_norm2(d.a(), d.x(), d.b(), d.y()))); });
  test("axpby_norm2, b = 0", Sum::of_results,
       [](auto& s, auto& d) { d.put(0, s.read(s.axpby_norm2(d.a(), d.x(), 0.0, d.y()))); });
  test("axpy_norm2", Sum::of_results,
       [](auto& s, auto& d) { d.put(0, s.read(s.axpy_norm2(d.a(), d.x(), d.y()))); });
  test("axpy_xpby", Sum::none,
       [](auto& s, auto& d) { s.axpy_xpby(d.a(), d.x(), d.y(), d.b(), d.z()); });
  test("add3_norm2", Sum::of_results, [](auto& s, auto& d) {
    d.put(0, s.read(s.add3_norm2(d.a(), d.x(), d.b(), d.y(), d.c(), d.z())));
  });
  test("add3_norm2, b = 0", Sum::of_results, [](auto& s, auto& d) {
    d.put(0, s.read(s.add3_norm2(d.a(), d.x(), 0.0, d.y(), d.c(), d.z())));
  });
  test("add3_norm2, c = 0", Sum::of_results, [](auto& s, auto& d) {
    d.put(0, s.read(s.add3_norm2(d.a(), d.x(), d.b(), d.y(), 0.0, d.z())));
  });
  for (const std::string zeros : {"", ", b = 0", ", c = 0", ", b = c = 0"}) {
    const bool no_b = zeros.find("b =") != zeros.npos, no_c = zeros.find("c =") != zeros.npos;
    test("step3" + zeros, Sum::none, [=](auto& s, auto& d) {
      const auto b = no_b ? decltype(d.b()){} : d.b(), c = no_c ? decltype(d.c()){} : d.c();
      s.step3(d.a(), d.x(), b, d.y(), c, d.z(), d.d(), d.w());
    });
  }
  test("update3", Sum::of_results, [](auto& s, auto& d) {
    d.put(0, s.read(s.update3(d.a(), d.x(), d.b(), d.y(), d.c(), d.z(), d.d(), d.w())));
  });
  test("rotate2", Sum::none, [](auto& s, auto& d) { s.rotate2(0.6, d.b(), d.x(), d.y()); });
  test("multi_shift", Sum::none, [](auto& s, auto& d) {
    s.multi_shift(d.slots(0), d.slots(8), d.slots(16), d.x(), d.X(), d.P());
  });
  test("project", Sum::of_inputs, [](auto& s, auto& d) { s.project(d.V(), d.w(), d.out()); });
  test("subtract_project", Sum::of_results,
       [](auto& s, auto& d) { s.subtract_project(d.V(), d.slots(8), d.w(), d.out()); });
  test("subtract_norm2", Sum::of_results,
       [](auto& s, auto& d) { d.put(0, s.read(s.subtract_norm2(d.V(), d.slots(8), d.w()))); });
  test("axpy_columns", Sum::none,
       [](auto& s, auto& d) { s.axpy_columns(d.V(), d.slots(8), d.y()); });
  test("project_block", Sum::of_inputs,
       [](auto& s, auto& d) { s.project_block(d.V(), d.X(), d.out()); });
  test("subtract_block", Sum::none,
       [](auto& s, auto& d) { s.subtract_block(d.V(), d.slots(8), d.X()); });
  test("combine", Sum::none, [](auto& s, auto& d) { s.combine(d.V(), d.S()); });
  test("multiply", Sum::none, [](auto& s, auto& d) { s.multiply(d.x(), d.y(), d.z()); });
  test("multiply in place", Sum::none, [](auto& s, auto& d) { s.multiply(d.x(), d.y(), d.y()); });
  test("multiply_add", Sum::none,
       [](auto& s, auto& d) { s.multiply_add(d.a(), d.x(), d.y(), d.z()); });
  test("multiply_add_conjugate", Sum::none,
       [](auto& s, auto& d) { s.multiply_add_conjugate(d.a(), d.x(), d.y(), d.z()); });
  test("add_squares", Sum::none, [](auto& s, auto& d) { s.add_squares(d.a(), d.x(), d.y()); });
  test("reciprocal", Sum::none, [](auto& s, auto& d) {
    d.zero_some();
    s.reciprocal(d.x(), d.y());
  });
  test("cast to the same", Sum::none, [](auto& s, auto& d) { s.template cast<T>(d.x(), d.y()); });
  test("random_signs", Sum::none, [](auto& s, auto& d) { s.random_signs({7, 3}, d.x()); });
  test("random_uniform", Sum::none, [](auto& s, auto& d) { s.random_uniform({7, 3}, d.x()); });
  test("random_normal", Sum::none, [](auto& s, auto& d) { s.random_normal({7, 3}, d.x()); });
}

/// Operations whose coefficients are an array of numbers: where slots are something else.
template <class Test>
void for_each_operation_with_numbers(const Test& test) {
  test("multi_shift, numbers", Sum::none, [](auto& s, auto& d) {
    s.multi_shift(d.numbers(0), d.numbers(8), d.numbers(16), d.x(), d.X(), d.P());
  });
  test("multi_shift, numbers and slots", Sum::none, [](auto& s, auto& d) {
    s.multi_shift(d.numbers(0), d.slots(8), d.numbers(16), d.x(), d.X(), d.P());
  });
  test("subtract_project, numbers", Sum::of_results,
       [](auto& s, auto& d) { s.subtract_project(d.V(), d.numbers(8), d.w(), d.out()); });
  test("subtract_norm2, numbers", Sum::of_results,
       [](auto& s, auto& d) { d.put(0, s.read(s.subtract_norm2(d.V(), d.numbers(8), d.w()))); });
  test("axpy_columns, numbers", Sum::none,
       [](auto& s, auto& d) { s.axpy_columns(d.V(), d.numbers(8), d.y()); });
  test("subtract_block, numbers", Sum::none,
       [](auto& s, auto& d) { s.subtract_block(d.V(), d.numbers(8), d.X()); });
}

template <class T>
double magnitude(T x) {
  return std::abs(static_cast<WideOf<T>>(x));
}

/// Elements differ by a few roundings of the terms they are made of, sums by as many of the sum of
/// the sizes of theirs.
template <Field T>
void compare(const std::string& name, Sum sum, const Data<T>& came, const Data<T>& expected) {
  CAPTURE(name);
  CAPTURE(came.n);
  CAPTURE(came.first);
  CHECK(all_finite(came.memory));
  CHECK(all_finite(came.results));
  // Sizes of terms: gaussians and coefficients below 6, up to kCols + 1 terms.
  constexpr double kTerms = 4.0;
  double worst = 0.0;
  for (std::size_t i = 0; i < came.memory.size(); ++i) {
    const double scale = std::max(magnitude(expected.memory[i]), kTerms);
    worst = std::max(worst, magnitude(static_cast<T>(came.memory[i] - expected.memory[i])) / scale);
  }
  CHECK(worst <= 8 * kEps<T>);

  const double eps = sum == Sum::of_inputs ? kEps<double> : kEps<T>;
  double scale = kTerms * kTerms * static_cast<double>(came.n), worst_sum = 0.0;
  for (std::size_t k = 0; k < came.results.size(); ++k) {
    if (came.n > 0) scale = std::max(scale, std::abs(expected.results[k]));
    worst_sum = std::max(worst_sum, std::abs(came.results[k] - expected.results[k]));
  }
  if (sum == Sum::none) {
    CHECK(worst_sum == 0.0);
  } else {
    CHECK(worst_sum <= 8 * eps * scale);
  }
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace ritz::testing
