// Every operation of CudaSpace against ReferenceSpace, and the host's side of a device: scalars
// that stay there, freezing, waits, memory. All of it on the backend that RITZ_CUDA_LIBRARY names.
#include <doctest/doctest.h>

#include <array>
#include <string>
#include <tuple>
#include <vector>

#include "device_memory.hpp"
#include "ritz/krylov/cg.hpp"
#include "ritz/krylov/recurrences.hpp"
#include "ritz/op/device_csr.hpp"
#include "ritz/space/host.hpp"
#include "ritz/space/reference.hpp"

namespace ritz::testing {
namespace {

static_assert(Space<CudaSpace<float>> && Space<CudaSpace<double>> &&
              Space<CudaSpace<std::complex<float>>> && Space<CudaSpace<std::complex<double>>>);

/// Long enough for every branch; the emulation is slow where it is sanitized or runs the kernels
/// thread by thread.
Index longest() {
#if defined(__SANITIZE_ADDRESS__)
  return 20001;
#else
  return std::getenv("RITZ_EMULATED_KERNELS") != nullptr ? 9001 : 70001;
#endif
}

TEST_SUITE_BEGIN("kernels");

template <Field T>
void check_operations(Index n, Index offset, std::uint64_t seed) {
  const Data<T> data(n, offset, seed);
  CudaSpace<T> space(0);
  DeviceData<T> there(space, data);
  Data<T> expected = data;
  const auto check = [&](const std::string& name, Sum sum, const auto& operation) {
    ReferenceSpace<T> reference;
    expected = data;
    operation(reference, expected);
    there.reset();
    operation(space, there);
    compare(name, sum, there.host(), expected);
  };
  for_each_operation<T>(check);
  for_each_operation_with_numbers(check);
}

TEST_CASE_TEMPLATE_DEFINE("every operation equals the reference", T, cuda_equal) {
  for (const Index n : {0, 1, 7, 64, 1000, 4099}) check_operations<T>(n, n % 4, 11);
  check_operations<T>(longest(), 1, 11);
}
TEST_CASE_TEMPLATE_APPLY(cuda_equal, Fields);

TEST_CASE_TEMPLATE_DEFINE("any start in memory", T, cuda_unaligned) {
  for (const Index offset : {0, 1, 2, 3, 5}) check_operations<T>(131, offset, 12);
}
TEST_CASE_TEMPLATE_APPLY(cuda_unaligned, Fields);

TEST_CASE_TEMPLATE_DEFINE("the same bits every time", T, cuda_bits) {
  const Data<T> data(longest(), 1, 13);
  CudaSpace<T> space(0);
  DeviceData<T> there(space, data);
  for_each_operation<T>([&](const std::string& name, Sum, const auto& operation) {
    CAPTURE(name);
    there.reset();
    operation(space, there);
    const Data<T> once = there.host();
    there.reset();
    operation(space, there);
    const Data<T> twice = there.host();
    CHECK(same_bits(once.memory, twice.memory));
    CHECK(same_bits(once.results, twice.results));
  });
}
TEST_CASE_TEMPLATE_APPLY(cuda_bits, Fields);

TEST_CASE_TEMPLATE_DEFINE("what is overwritten is not read", T, cuda_overwrite) {
  const T nan = static_cast<T>(std::numeric_limits<double>::quiet_NaN());
  CudaSpace<T> space(0);
  const std::vector<T> host = gaussian<T>(1003, 15), nans(host.size(), nan);
  const DeviceVector<T> x(space, host);
  DeviceVector<T> y(space, nans), u(space, nans), z(space, host);
  space.axpby(2.0, x.view(), 0.0, y.view());
  CHECK(all_finite(y.host()));
  y.set(nans);
  CHECK(std::isfinite(space.read(space.axpby_norm2(2.0, x.view(), 0.0, y.view()))));
  CHECK(all_finite(y.host()));
  y.set(nans);
  CHECK(std::isfinite(space.read(space.add3_norm2(2.0, x.view(), 3.0, x.view(), 0.0, y.view()))));
  CHECK(all_finite(y.host()));
  CHECK(std::isfinite(space.read(space.add3_norm2(2.0, x.view(), 0.0, u.view(), 1.0, y.view()))));
  CHECK(all_finite(y.host()));
  y.set(nans);
  space.step3(2.0, x.view(), 0.0, y.view(), 0.0, u.view(), 3.0, z.view());
  CHECK(all_finite(y.host()));
  CHECK(all_finite(z.host()));
  space.step3(2.0, x.view(), 1.0, y.view(), 0.0, u.view(), 3.0, z.view());
  CHECK(all_finite(z.host()));
  space.step3(2.0, x.view(), 0.0, u.view(), 1.0, y.view(), 3.0, z.view());
  CHECK(all_finite(z.host()));

  // A zero formed on the device overwrites as well.
  DeviceVector<T> zero(space, std::vector<T>(host.size(), T{}));
  y.set(nans);
  const auto none = space.norm2(zero.view()), some = space.norm2(x.view());
  space.axpby(1.0, x.view(), ratio(none, some), y.view());
  CHECK(all_finite(y.host()));

  y.set(nans);
  space.axpby(1.0, x.view(), 1.0, y.view());
  CHECK(!all_finite(y.host()));
  y.set(nans);
  CHECK(!std::isfinite(space.read(space.add3_norm2(1.0, x.view(), 1.0, x.view(), 1.0, y.view()))));
}
TEST_CASE_TEMPLATE_APPLY(cuda_overwrite, Fields);

TEST_CASE_TEMPLATE_DEFINE("more columns than one sweep takes", T, cuda_wide) {
  using W = WideOf<T>;
  const Index n = 2100, cols = 331;
  const std::vector<T> v = gaussian<T>(n * cols, 16), w = gaussian<T>(n, 17);
  const std::vector<W> h = gaussian<W>(cols, 18), s = gaussian<W>(cols * 5, 19);
  CudaSpace<T> space(0);
  ReferenceSpace<T> reference;
  const auto run = [&](auto& where, T* V, T* u, auto slots, auto g, auto k) {
    const BlockView<T> block{V, n, cols, n};
    const VectorView<T> vector{u, n};
    where.project(block, vector, k);
    where.subtract_project(block, slots, vector, g);
    where.axpy_columns(block, slots, vector);
    const auto norm2 = where.read(where.subtract_norm2(block, slots, vector));
    where.combine(block, {s.data(), cols, 5, cols});
    return norm2;
  };
  std::vector<T> v0 = v, u0 = w;
  std::vector<W> h0 = h, g0(h.size()), k0(h.size());
  const double sum0 =
      run(reference, v0.data(), u0.data(), std::span<W>(h0), std::span<W>(g0), std::span<W>(k0));
  const DeviceVector<T> V(space, v), u(space, w);
  const DeviceVector<W> slots(space, h), g(space, h), k(space, h);
  const double sum =
      run(space, V.data(), u.data(), slots_of<T>(slots), slots_of<T>(g), slots_of<T>(k));
  CHECK(distance(k.host(), k0) <= 1e-13 * norm(k0));
  CHECK(distance(u.host(), u0) <= 20 * kEps<T> * norm(u0));
  CHECK(distance(g.host(), g0) <= 20 * kEps<T> * norm(g0));
  CHECK(std::abs(sum - sum0) <= 20 * kEps<T> * sum0);
  CHECK(distance(V.host(), v0) <= 20 * kEps<T> * norm(v0));
}
TEST_CASE_TEMPLATE_APPLY(cuda_wide, Fields);

struct Shape {
  Index n, k, b;
  Index ldv, ldw, start;  // of both blocks in memory
};

TEST_CASE_TEMPLATE_DEFINE("blocks of all shapes equal the reference", T, cuda_blocks) {
  using W = WideOf<T>;
  ReferenceSpace<T> reference;
  CudaSpace<T> space(0);
  for (const auto& [n, k, b, ldv, ldw, start] : {Shape{0, 5, 3, 3, 5, 0},
                                                 {513, 1, 9, 516, 520, 0},
                                                 {2055, 37, 19, 2058, 2062, 0},
                                                 {2055, 6, 4, 2056, 2056, 1},
                                                 {300, 150, 1, 303, 300, 2},
                                                 {1030, 5, 70, 1033, 1031, 0},
                                                 {9, 0, 3, 12, 12, 0},
                                                 {66, 90, 7, 68, 72, 0},
                                                 {65, 131, 34, 68, 72, 4},
                                                 {1025, 8, 8, 1028, 1032, 0},
                                                 {1026, 2, 2, 1028, 1028, 0}}) {
    CAPTURE(n);
    CAPTURE(k);
    CAPTURE(b);
    const BlockView<T> shape_v{nullptr, n, k, ldv}, shape_w{nullptr, n, b, ldw};
    const auto block = [start = start](BlockView<T> shape, T* memory) {
      return BlockView<T>{memory + start, shape.rows, shape.cols, shape.ld};
    };
    std::vector<T> v = gaussian<T>(start + ldv * std::max<Index>(k, 1), 5),
                   w = gaussian<T>(start + ldw * b, 6);
    std::vector<W> exact(at(k * b), W{7.0});
    reference.project_block(block(shape_v, v.data()), block(shape_w, w.data()), exact);
    std::vector<T> difference = w;
    reference.subtract_block(block(shape_v, v.data()), exact, block(shape_w, difference.data()));

    const DeviceVector<T> V(space, v), X(space, w);
    const DeviceVector<W> exact_there(space, exact);
    std::vector<W> before;
    for (int time = 0; time < 2; ++time) {
      const DeviceVector<W> h(space, std::vector<W>(at(k * b) + 1, W{7.0}));
      space.project_block(block(shape_v, V.data()), block(shape_w, X.data()), slots_of<T>(h));
      const std::vector<W> came = h.host();
      CHECK(all_finite(came));
      double worst = 0.0;
      for (std::size_t i = 0; i < exact.size(); ++i) {
        worst = std::max(worst, std::abs(came[i] - exact[i]));
      }
      CHECK(worst <= 16.0 * kEps<double> * static_cast<double>(n + 1));
      CHECK(came.back() == W{7.0});
      if (time > 0) CHECK(same_bits(came, before));
      before = came;
    }
    space.subtract_block(block(shape_v, V.data()), slots_of<T>(exact_there),
                         block(shape_w, X.data()));
    const std::vector<T> came = X.host();
    CHECK(distance(came, difference) <=
          4.0 * kEps<T> * norm(difference) + kEps<double> * static_cast<double>(n + 1));
    // What is between the columns, and before the first, is nobody's.
    bool untouched = true;
    for (Index i = 0; i < static_cast<Index>(came.size()); ++i) {
      const bool inside = i >= start && (i - start) % ldw < n;
      untouched = untouched && (inside || came[at(i)] == w[at(i)]);
    }
    CHECK(untouched);
  }
}
TEST_CASE_TEMPLATE_APPLY(cuda_blocks, Fields);

TEST_CASE_TEMPLATE_DEFINE("blocks are multiplied by the library if they are wide enough", T,
                          cuda_wide_blocks) {
  using W = WideOf<T>;
  auto* products = emulated<std::uint64_t()>("ritz_emulated_products");
  if (products == nullptr || std::getenv("RITZ_EMULATED_BLAS") == nullptr) return;
  CudaSpace<T> space(0);
  const Index n = 50;
  const std::vector<T> v = gaussian<T>(n * 20, 5), w = gaussian<T>(n * 20, 6);
  const DeviceVector<T> V(space, v), X(space, w), one(space, std::vector<T>(1, T{1}));
  const DeviceVector<W> h(space, std::vector<W>(400, W{7.0}));
  const auto made = [&](Index k, Index b) {
    const std::uint64_t before = products();
    space.project_block({V.data(), n, k, n}, {X.data(), n, b, n}, slots_of<T>(h));
    space.subtract_block({V.data(), n, k, n}, slots_of<T>(h), {X.data(), n, b, n});
    space.queue().wait();
    return products() - before;
  };
  // Single precision would be summed in single precision.
  const std::uint64_t both = std::same_as<RealOf<T>, double> ? 2 : 0;
  CHECK(made(8, 8) == both);
  CHECK(made(20, 8) == both);
  CHECK(made(8, 20) == both);
  CHECK(made(20, 7) == 0);
  CHECK(made(7, 20) == 0);
  CHECK(made(20, 1) == 0);
  const std::vector<T> before = X.host();
  space.freeze_below(space.norm2(one.view()), 1.0);
  CHECK(made(20, 20) == 0);
  CHECK(same_bits(X.host(), before));
  CHECK(h.host() == std::vector<W>(400, W{1.0}));
  space.thaw();
  CHECK(made(20, 20) == both);
  CHECK(!same_bits(X.host(), before));
}
TEST_CASE_TEMPLATE_APPLY(cuda_wide_blocks, Fields);

TEST_CASE_TEMPLATE_DEFINE("cast between precisions", R, cuda_cast) {
  const auto check = []<Field From, Field To>(const std::vector<From>& x, To) {
    CudaSpace<From> space(0);
    ReferenceSpace<From> reference;
    std::vector<To> expected(x.size());
    reference.cast(view(x), view(expected));
    const DeviceVector<From> from(space, x);
    const DeviceVector<To> to(space, std::vector<To>(x.size()));
    space.cast(from.view(), to.view());
    CHECK(same_bits(to.host(), expected));
  };
  using Other = std::conditional_t<std::same_as<R, float>, double, float>;
  check(gaussian<R>(1003, 21), Other{});
  check(gaussian<std::complex<R>>(1003, 22), std::complex<Other>{});
}
TEST_CASE_TEMPLATE_INVOKE(cuda_cast, float, double);

TEST_CASE_TEMPLATE_DEFINE("reciprocals at the ends of the range", T, cuda_reciprocal) {
  using R = RealOf<T>;
  const R large = std::sqrt(std::numeric_limits<R>::max()) * R{8}, small = R{1} / large;
  CudaSpace<T> space(0);
  const DeviceVector<T> x(space, std::vector<T>{static_cast<T>(large), static_cast<T>(small),
                                                static_cast<T>(-large), T{}, static_cast<T>(R{1})});
  const DeviceVector<T> y(space, std::vector<T>(5));
  space.reciprocal(x.view(), y.view());
  const std::vector<T> came = y.host();
  CHECK(magnitude(came[0]) == doctest::Approx(static_cast<double>(small)));
  CHECK(magnitude(came[1]) == doctest::Approx(static_cast<double>(large)));
  CHECK(std::real(came[2]) == doctest::Approx(-static_cast<double>(small)));
  CHECK(came[3] == T{1});
  CHECK(came[4] == T{1});
}
TEST_CASE_TEMPLATE_APPLY(cuda_reciprocal, Fields);

TEST_CASE_TEMPLATE_DEFINE("random numbers are the host's", T, cuda_random) {
  CudaSpace<T> space(0);
  HostSpace<T> host;
  for (const Index n : {1, 6, 1001, 70001}) {
    CAPTURE(n);
    const RandomKey key{5 + static_cast<std::uint64_t>(n), (std::uint64_t{1} << 40) + 3};
    const DeviceVector<T> x(space, std::vector<T>(at(n)));
    std::vector<T> expected(at(n));
    space.random_signs(key, x.view());
    host.random_signs(key, view(expected));
    CHECK(same_bits(x.host(), expected));
    space.random_uniform(key, x.view());
    host.random_uniform(key, view(expected));
    CHECK(same_bits(x.host(), expected));
    space.random_normal(key, x.view());
    host.random_normal(key, view(expected));
    const std::vector<T> came = x.host();
    CHECK(all_finite(came));
    double worst = 0.0;
    for (std::size_t i = 0; i < came.size(); ++i) {
      const double scale = std::max(magnitude(expected[i]), 1.0);
      worst = std::max(worst, magnitude(static_cast<T>(came[i] - expected[i])) / scale);
    }
    // The host rounds the angle, up to 2π, before its sine; the radius is below 8.7.
    CHECK(worst <= 32 * kEps<T>);
  }
}
TEST_CASE_TEMPLATE_APPLY(cuda_random, Fields);

TEST_CASE("single-precision sums are taken in double precision") {
  std::vector<float> ones(40001, 1.0f);
  ones[0] = 8192.0f;
  CudaSpace<float> space(0);
  const DeviceVector<float> x(space, ones);
  const double exact = 8192.0 * 8192.0 + 40000.0;
  CHECK(space.read(space.norm2(x.view())) == exact);
  CHECK(space.read(space.dot(x.view(), x.view())) == exact);
  const DeviceVector<double> sum(space, std::vector<double>(1));
  const BlockView<const float> X{x.data(), 40001, 1, 40001};
  space.project_block(X, X, slots_of<float>(sum));
  CHECK(sum.host()[0] == exact);
  const DeviceVector<float> block(space, std::vector<float>(3 * 40004));
  for (Index j = 0; j < 3; ++j) space.copy(x.view(), {block.data() + j * 40004, 40001});
  const DeviceVector<double> sums(space, std::vector<double>(9));
  const BlockView<const float> Y{block.data(), 40001, 3, 40004};
  space.project_block(Y, Y, slots_of<float>(sums));
  CHECK(sums.host() == std::vector<double>(9, exact));
  space.project(X, x.view(), slots_of<float>(sum));
  CHECK(sum.host()[0] == exact);
}

TEST_SUITE_END();

// ---- scalars ----

/// Vectors whose squared norms are 1, 4, 9, …
template <Field T>
struct Numbers {
  CudaSpace<T>& space;
  DeviceVector<T> memory;

  Numbers(CudaSpace<T>& where, Index count) : space(where), memory(where, numbers(count)) {}
  /// k² for k < count.
  auto square(Index k) const { return space.norm2({memory.data() + k, 1}); }
  static std::vector<T> numbers(Index count) {
    std::vector<T> x(at(count));
    for (Index k = 0; k < count; ++k) x[at(k)] = static_cast<T>(static_cast<RealOf<T>>(k));
    return x;
  }
};

TEST_CASE_TEMPLATE_DEFINE("coefficients are formed where they are used", T, cuda_coefficients) {
  using W = WideOf<T>;
  CudaSpace<T> space(0);
  const Numbers<T> number(space, 4000);
  const std::vector<T> host = gaussian<T>(100, 31), other = gaussian<T>(100, 32);
  const DeviceVector<T> x(space, host), y(space, other), z(space, host);
  const W xy = space.read(space.dot(x.view(), y.view()));
  const W yy = space.read(space.dot(y.view(), y.view()));
  const auto scaled_by = [&](const DeviceCoefficient& c) {
    space.copy(x.view(), z.view());
    space.scale(c, z.view());
    return z.host();
  };
  const auto expected = [&](W factor) {
    std::vector<T> e = host;
    for (T& a : e) a = static_cast<T>(factor * static_cast<W>(a));
    return e;
  };
  const auto near = [&](const std::vector<T>& came, W factor) {
    return distance(came, expected(factor)) <= 8 * kEps<T> * std::abs(factor) * norm(host);
  };
  // Their scalars are gone, and thousands have come after them.
  const DeviceCoefficient quotient = ratio(number.square(3), number.square(2));
  const DeviceCoefficient minus =
      -ratio(space.dot(x.view(), y.view()), space.dot(y.view(), y.view()));
  for (Index k = 0; k < 3000; ++k) number.square(k);
  CHECK(near(scaled_by(quotient), 2.25));
  CHECK(near(scaled_by(-quotient), -2.25));
  CHECK(near(scaled_by(-(-quotient)), 2.25));
  CHECK(near(scaled_by(minus), -xy / yy));
  CHECK(near(scaled_by(-minus), xy / yy));
  CHECK(near(scaled_by(-DeviceCoefficient(3.0)), -3.0));
  if constexpr (ComplexField<T>) {
    CHECK(near(scaled_by(-DeviceCoefficient(std::complex<double>{3.0, -2.0})), {-3.0, 2.0}));
  }
  // A copy of a coefficient holds its scalars too.
  std::optional<DeviceCoefficient> first = ratio(number.square(5), number.square(1));
  const DeviceCoefficient second = *first;
  first.reset();
  for (Index k = 0; k < 100; ++k) number.square(k);
  CHECK(near(scaled_by(second), 25.0));
}
TEST_CASE_TEMPLATE_APPLY(cuda_coefficients, Fields);

TEST_CASE("a quotient by zero is not finite, as on the host") {
  CudaSpace<double> space(0);
  const Numbers<double> number(space, 3);
  const DeviceVector<double> x(space, std::vector<double>(5, 1.0));
  space.scale(ratio(number.square(2), number.square(0)), x.view());
  CHECK(std::isinf(x.host()[0]));
  space.fill(1.0, x.view());
  space.scale(ratio(number.square(0), number.square(0)), x.view());
  CHECK(std::isnan(x.host()[0]));
}

TEST_CASE_TEMPLATE_DEFINE("scalars live as long as they are held", T, cuda_slots) {
  CudaSpace<T> space(0);
  constexpr Index kMany = 1500;  // three chunks
  const Numbers<T> number(space, kMany);
  const auto old = number.square(1234 % kMany);
  for (Index k = 0; k < 5000; ++k) number.square(k % 7);
  CHECK(space.read(old) == 1234.0 * 1234.0);

  using Real = typename CudaSpace<T>::Real;
  std::vector<Real> held;
  for (Index k = 0; k < kMany; ++k) held.push_back(number.square(k));
  bool all = true;
  for (Index k = kMany - 1; k >= 0; k -= 13) {
    all = all && space.read(held[at(k)]) == static_cast<double>(k * k);
  }
  CHECK(all);
  // Every other one goes; what comes takes their places, and none of the others'.
  std::vector<Real> kept, fresh;
  for (Index k = 0; k < kMany; k += 2) kept.push_back(held[at(k)]);
  held.clear();
  for (Index k = 0; k < kMany; ++k) fresh.push_back(number.square(3));
  all = true;
  for (std::size_t k = 0; k < kept.size(); k += 7) {
    all = all && space.read(kept[k]) == static_cast<double>(4 * k * k);
  }
  for (std::size_t k = 0; k < fresh.size(); k += 7) all = all && space.read(fresh[k]) == 9.0;
  CHECK(all);
}
TEST_CASE_TEMPLATE_APPLY(cuda_slots, Fields);

TEST_CASE("a slot is counted by those who hold it") {
  const auto queue = device::DeviceQueue::of(0);
  const auto lowest = [&] { return device::Slot(*queue).address(); };
  double* const free = lowest();
  CHECK(lowest() == free);
  {
    device::Slot a(*queue);
    CHECK(a.address() == free);
    device::Slot b(*queue);
    CHECK(b.address() != free);
    device::Slot c = a;
    CHECK(c.address() == free);
    a = b;  // c still holds the first
    CHECK(a.address() == b.address());
    CHECK(lowest() != free);
    const device::Slot& same = c;
    c = same;
    CHECK(c.address() == free);
    CHECK(lowest() != free);
    device::Slot d = std::move(c);
    CHECK(d.address() == free);
    c = b;  // what was moved from can be assigned to
    CHECK(lowest() != free);
    d = std::move(a);
    CHECK(d.address() == b.address());
    CHECK(lowest() == free);
  }
  CHECK(lowest() == free);
}

TEST_CASE("a loop uses the same slots again") {
  CudaSpace<double> space(0);
  const Numbers<double> number(space, 10);
  std::vector<double*> first;
  auto rz = number.square(1);
  for (Index k = 0; k < 40; ++k) {
    const auto pq = number.square(2), rr = number.square(3);
    rz = rr;
    if (k < 4) {
      first.push_back(pq.slot.address());
      first.push_back(rr.slot.address());
    } else {
      CHECK(std::find(first.begin(), first.end(), pq.slot.address()) != first.end());
      CHECK(std::find(first.begin(), first.end(), rr.slot.address()) != first.end());
    }
  }
}

// ---- freezing ----

TEST_SUITE_BEGIN("kernels");

TEST_CASE_TEMPLATE("a recurrence steps as on the host, until it is frozen", R, MinresRecurrence,
                   SymmlqRecurrence, MinresQlpRecurrence, LsmrRecurrence, LsqrRecurrence,
                   ArnoldiRecurrence, CrRecurrence, CraigRecurrence, CglsRecurrence,
                   BicgstabRecurrence, FcgRecurrence, FcgDirection) {
  using T = std::complex<double>;
  using Number = NumberOf<R>;
  constexpr bool kComplex = !std::same_as<Number, double>;
  constexpr std::size_t kScalars = sizeof(R) / sizeof(double);
  using Bits = std::array<double, kScalars>;
  const auto bits = [](const R& r) {
    Bits all;
    std::copy_n(reinterpret_cast<const double*>(&r), kScalars, all.begin());
    return all;
  };
  // Nothing that a method would begin with: every scalar takes part, and none is zero.
  R host;
  for (std::size_t k = 0; k < kScalars; ++k) {
    reinterpret_cast<double*>(&host)[k] = 0.5 + static_cast<double>(k % 7);
  }
  if constexpr (std::derived_from<R, LinearRecurrence>) {  // so that no step ends the process
    host.epsilon = kEps<double>;
    host.target = 0.5;
  }
  CudaSpace<T> space(0);
  const std::vector<T> values{T(9.0, 0.5), T(16.0, -2.0), T(4.0, 1.0), T(1.0), T(3.0)};
  const DeviceVector<T> value(space, values);
  const auto sum = [&](Index k) {
    const auto x = value.view();
    if constexpr (kComplex) {
      return space.dot({x.data + 3, 1}, {x.data + k, 1});
    } else {
      return space.real_dot({x.data + 3, 1}, {x.data + k, 1});
    }
  };
  const auto number = [&](Index k) {
    if constexpr (kComplex) {
      return to_number(values[at(k)]);
    } else {
      return std::real(values[at(k)]);
    }
  };
  auto there = space.keep(host);
  space.assign(there, host);
  CHECK(bits(space.read(there)) == bits(host));
  for (int phase = 0; phase < 5; ++phase) {
    host.template step<HostMath>(phase, {number(0), number(1), number(2)});
    space.advance(there, phase, sum(0), sum(1), sum(2));
    const Bits came = bits(space.read(there)), exact = bits(host);
    for (std::size_t k = 0; k < kScalars; ++k) {
      CAPTURE(k);
      const bool same = came[k] == exact[k] || (std::isnan(came[k]) && std::isnan(exact[k]));
      CHECK((same || came[k] == doctest::Approx(exact[k]).epsilon(1e-14)));
    }
  }
  DeviceVector<T> x(space, std::vector<T>{T(2.0, 1.0)});
  if constexpr (kComplex) {
    constexpr auto complex = [] {
      if constexpr (requires { &R::alpha; }) {
        return &R::alpha;
      } else {
        return &R::pq;
      }
    }();
    space.scale(there[complex], x.view());
    const T product = from_number<T>(host.*complex) * T(2.0, 1.0);
    CHECK(product.imag() != 0.0);
    CHECK(std::abs(x.host()[0] - product) <= 1e-14 * std::abs(product));
    x.set({T(2.0, 1.0)});
  }
  // A real one as a coefficient, whose imaginary part is none.
  auto one = host;
  reinterpret_cast<double*>(&one)[0] = 3.0;
  if (kComplex) reinterpret_cast<double*>(&one)[1] = 0.0;
  space.assign(there, one);
  const auto first = [&] {
    if constexpr (std::derived_from<R, LeastSquaresNumbers>) {
      return there[&R::residual];
    } else if constexpr (requires { &R::running; }) {
      return there[&R::running];
    } else if constexpr (requires { &R::again; }) {
      return there[&R::again];
    } else {  // has none: a sum
      return space.real_dot({value.data() + 3, 1}, {value.data() + 4, 1});
    }
  }();
  space.scale(first, x.view());
  CHECK(x.host()[0] == T(6.0, 3.0));

  CHECK_FALSE(space.freeze_below(first, 3.0));
  space.advance(there, 0, sum(0), sum(1), sum(2));
  CHECK(bits(space.read(there)) == bits(one));
  space.thaw();
  const auto question = space.ask(there);
  space.assign(there, host);
  CHECK(bits(space.answer(question, there)) == bits(one));
  CHECK(bits(space.read(there)) == bits(host));
}

TEST_CASE_TEMPLATE_DEFINE("a frozen space changes nothing, and its sums are what froze it", T,
                          cuda_frozen) {
  using W = WideOf<T>;
  const Data<T> data(1031, 1, 41);
  CudaSpace<T> space(0);
  const Numbers<T> number(space, 10);
  DeviceData<T> there(space, data);
  const auto check = [&](const std::string& name, Sum sum, const auto& operation) {
    CAPTURE(name);
    there.reset();
    Data<T> expected = data;
    if (name == "reciprocal") expected.zero_some();
    space.freeze_below(number.square(3), 9.0);  // not read: the device finds out
    operation(space, there);
    space.thaw();
    const Data<T> came = there.host();
    CHECK(same_bits(came.memory, expected.memory));
    std::size_t sums = 0;
    if (sum != Sum::none) {
      const bool block = name.starts_with("project_block");
      const bool columns = name.starts_with("project") || name.starts_with("subtract_project");
      sums = block            ? Data<T>::kCols * Data<T>::kShifts
             : columns        ? Data<T>::kCols
             : name == "dots" ? 3
                              : 1;
    }
    for (std::size_t k = 0; k < came.results.size(); ++k) {
      CHECK(came.results[k] == (k < sums ? W{9.0} : expected.results[k]));
    }
  };
  for_each_operation<T>(check);
  for_each_operation_with_numbers(check);
  // Casts to another type as well.
  using Other = std::conditional_t<std::same_as<RealOf<T>, float>, double, float>;
  using Target = std::conditional_t<ComplexField<T>, std::complex<Other>, Other>;
  const DeviceVector<Target> to(space, std::vector<Target>(10, Target{5}));
  space.freeze_below(number.square(3), 9.0);
  space.cast(VectorView<const T>(number.memory.data(), 10), to.view());
  space.thaw();
  CHECK(to.host() == std::vector<Target>(10, Target{5}));
}
TEST_CASE_TEMPLATE_APPLY(cuda_frozen, Fields);

TEST_CASE_TEMPLATE_DEFINE("above the bound and for NaN nothing freezes", T, cuda_not_frozen) {
  const Data<T> data(131, 2, 42);
  CudaSpace<T> space(0);
  const Numbers<T> number(space, 10);
  DeviceData<T> there(space, data);
  const DeviceVector<T> nan(space, {static_cast<T>(std::numeric_limits<double>::quiet_NaN())});
  Data<T> expected = data;
  for (const bool by_nan : {false, true}) {
    for_each_operation<T>([&](const std::string& name, Sum sum, const auto& operation) {
      ReferenceSpace<T> reference;
      expected = data;
      operation(reference, expected);
      there.reset();
      space.freeze_below(by_nan ? space.norm2(nan.view()) : number.square(3), 8.999);
      operation(space, there);
      space.thaw();
      compare(name, sum, there.host(), expected);
    });
  }
}
TEST_CASE_TEMPLATE_APPLY(cuda_not_frozen, Fields);

TEST_SUITE_END();

TEST_CASE("freezing lasts until thaw, over thousands of sums and calls of freeze_below") {
  CudaSpace<double> space(0);
  const Numbers<double> number(space, 100);
  const DeviceVector<double> x(space, std::vector<double>(50, 1.0));
  const auto untouched = [&] { return x.host() == std::vector<double>(50, 1.0); };
  {
    const auto small = number.square(2);
    space.freeze_below(small, 5.0);
  }
  for (Index k = 0; k < 3000; ++k) number.square(50);  // 4 each, now
  space.scale(2.0, x.view());
  CHECK(untouched());
  for (Index k = 0; k < 3000; ++k) {
    const auto again = number.square(50);
    space.axpby(1.0, x.view(), 3.0, x.view());
    space.freeze_below(again, 5.0);
  }
  CHECK(untouched());
  CHECK(space.read(number.square(99)) == 4.0);
  CHECK(space.read(space.dot(x.view(), x.view())) == 4.0);
  // Others on the queue are free.
  CudaSpace<double> other(0);
  CHECK(other.read(other.norm2(x.view())) == 50.0);
  space.thaw();
  CHECK(space.read(number.square(9)) == 81.0);
  space.scale(2.0, x.view());
  CHECK(x.host()[49] == 2.0);
}

TEST_CASE("copies of a space freeze apart") {
  CudaSpace<double> space(0);
  const Numbers<double> number(space, 10);
  CudaSpace<double> copy = space;
  space.freeze_below(number.square(1), 2.0);
  const VectorView<const double> nine{number.memory.data() + 9, 1};
  CHECK(space.read(space.norm2(nine)) == 1.0);
  CHECK(copy.read(copy.norm2(nine)) == 81.0);
  copy = space;
  CHECK(copy.read(copy.norm2(nine)) == 1.0);
  copy.thaw();
  CHECK(copy.read(copy.norm2(nine)) == 81.0);
  CHECK(space.read(space.norm2(nine)) == 1.0);
  space.thaw();
  CHECK(space.read(space.norm2(nine)) == 81.0);
}

// ---- waits ----

TEST_CASE("one wait for all that was reduced before it") {
  CudaSpace<double> space(0);
  auto& queue = space.queue();
  const Numbers<double> number(space, 100);
  const auto waits_in = [&](auto&& work) {
    const Index before = queue.waits();
    work();
    return queue.waits() - before;
  };
  const auto a = number.square(3), b = number.square(4);
  const auto c = space.dot(number.memory.view(), number.memory.view());
  CHECK(waits_in([&] { CHECK(space.read(b) == 16.0); }) == 1);
  CHECK(waits_in([&] {
          CHECK(space.read(a) == 9.0);
          CHECK(space.read(b) == 16.0);
          CHECK(space.read(c) == 328350.0);
        }) == 0);
  // Work alone does not wait.
  const DeviceVector<double> V(space, gaussian<double>(4 * 100, 51));
  const DeviceVector<double> memory(space, std::vector<double>(20));
  const auto h = slots_of<double>(memory);
  const BlockView<const double> block{V.data(), 100, 4, 100};
  std::optional<CudaSpace<double>::Real> d;
  CHECK(waits_in([&] {
          for (Index k = 0; k < 5000; ++k) d = number.square(5);
          space.project(block, number.memory.view(), h);
          space.subtract_project(block, h, VectorView<double>{V.data(), 100}, h.subspan(8, 4));
        }) == 0);
  std::vector<double> values(4);
  CHECK(waits_in([&] { CHECK(space.read(*d) == 25.0); }) == 1);
  CHECK(waits_in([&] {
          space.read(h.first(4), values);
          space.read(h.subspan(1, 2), std::span(values).first(2));
          space.read(h.subspan(8, 4), values);
          CHECK(space.read(a) == 9.0);
        }) == 0);
  const std::vector<double> direct = memory.host();
  CHECK(std::equal(values.begin(), values.end(), direct.begin() + 8));
  // After more work, old ones take a wait again, one for all.
  space.scale(1.0, VectorView<double>{V.data(), 10});
  CHECK(waits_in([&] { CHECK(space.read(a) == 9.0); }) == 1);
  CHECK(waits_in([&] {
          CHECK(space.read(b) == 16.0);
          CHECK(space.read(*d) == 25.0);
        }) == 0);
  // An array that was not just written: one wait for it and the scalars.
  space.scale(1.0, VectorView<double>{V.data(), 10});
  CHECK(waits_in([&] {
          space.read(h.subspan(8, 4), values);
          CHECK(space.read(a) == 9.0);
          space.read(h.subspan(8, 4), values);
        }) == 1);
  CHECK(std::equal(values.begin(), values.end(), direct.begin() + 8));
}

TEST_CASE("a question waits for nothing that was queued after it") {
  CudaSpace<double> space(0);
  auto& queue = space.queue();
  auto* gate = emulated<void(bool)>("ritz_emulated_gate");
  const Numbers<double> number(space, 100);
  auto a = number.square(3);
  const auto b = number.square(4);
  const auto two = [](const double* answer) { return std::array{answer[0], answer[1]}; };
  {
    const auto question = space.ask(a, b);
    REQUIRE(question);
    if (gate != nullptr) {
      queue.flush();
      gate(true);
    }
    a = number.square(5);
    const auto later = number.square(6);
    // Would not return if it waited for these.
    CHECK(two(question.answer()) == std::array{9.0, 16.0});
    if (gate != nullptr) gate(false);
    CHECK(space.read(later) == 36.0);
    CHECK(space.read(a) == 25.0);
    CHECK(two(question.answer()) == std::array{9.0, 16.0});
  }
  // Several at a time, and none beyond what there is room for.
  std::vector<device::Question> open;
  for (Index k = 1; k < 100; ++k) {
    const auto square = number.square(k);
    auto question = space.ask(square);
    if (!question) break;
    open.push_back(std::move(question));
  }
  CHECK(open.size() == 15);
  for (std::size_t k = 0; k < open.size(); ++k) {
    CHECK(*open[k].answer() == static_cast<double>((k + 1) * (k + 1)));
  }
  open.clear();
  CHECK(space.ask(a, b));
}

TEST_CASE("arrays longer than what a wait brings along") {
  CudaSpace<double> space(0);
  auto& queue = space.queue();
  const std::vector<double> host = gaussian<double>(20000, 52);
  const DeviceVector<double> x(space, host);
  const auto a = space.norm2({x.data(), 1});
  std::vector<double> values(host.size());
  Index before = queue.waits();
  space.read(slots_of<double>(x), values);
  CHECK(queue.waits() - before == 3);  // pieces of 8192
  CHECK(values == host);
  CHECK(space.read(a) == host[0] * host[0]);
  // One that just fits beside the scalars.
  before = queue.waits();
  values.assign(8000, 0.0);
  space.scale(1.0, {x.data(), 1});
  space.read(slots_of<double>(x).subspan(7, 8000), values);
  CHECK(space.read(a) == host[0] * host[0]);
  CHECK(queue.waits() - before == 1);
  CHECK(std::equal(values.begin(), values.end(), host.begin() + 7));

  // More arrays than fit, all told at once.
  const Index count = 2000, cols = 5;
  const DeviceVector<double> memory(space, std::vector<double>(at(count * cols)));
  const auto h = slots_of<double>(memory);
  const BlockView<const double> block{x.data(), 1, cols, 1};
  for (Index k = 0; k < count; ++k) {
    space.project(block, {x.data() + k, 1}, h.subspan(at(k * cols), at(cols)));
  }
  bool all = true;
  for (Index k = 0; k < count; k += 37) {
    std::vector<double> g(at(cols));
    space.read(h.subspan(at(k * cols), at(cols)), g);
    for (Index j = 0; j < cols; ++j) all = all && g[at(j)] == host[at(j)] * host[at(k)];
  }
  CHECK(all);
}

TEST_CASE("complex arrays and scalars are read whole") {
  using T = std::complex<float>;
  CudaSpace<T> space(0);
  const std::vector<T> host = gaussian<T>(60, 53);
  const DeviceVector<T> x(space, host);
  const DeviceVector<std::complex<double>> memory(space, std::vector<std::complex<double>>(6));
  const auto h = slots_of<T>(memory);
  space.project({x.data(), 10, 5, 10}, {x.data() + 50, 10}, h.first(5));
  std::vector<std::complex<double>> came(5), expected(5);
  const Index before = space.queue().waits();
  space.read(h.first(5), came);
  std::complex<double> last;
  space.read(h.subspan(4, 1), {&last, 1});
  CHECK(space.queue().waits() - before == 1);
  ReferenceSpace<T>().project({host.data(), 10, 5, 10}, {host.data() + 50, 10}, expected);
  CHECK(distance(came, expected) <= 1e-14 * norm(expected));
  CHECK(last == came[4]);
  space.read(h.first(0), {});
}

TEST_CASE("scalars beyond those that every wait brings") {
  CudaSpace<double> space(0);
  auto& queue = space.queue();
  const Numbers<double> number(space, 300);
  std::vector<CudaSpace<double>::Real> held;
  for (Index k = 0; k < 300; ++k) held.push_back(number.square(k));
  Index before = queue.waits();
  CHECK(space.read(held[250]) == 250.0 * 250.0);
  CHECK(queue.waits() - before == 1);
  CHECK(space.read(held[250]) == 250.0 * 250.0);
  CHECK(space.read(held[0]) == 0.0);
  CHECK(queue.waits() - before == 1);
  CHECK(space.read(held[299]) == 299.0 * 299.0);
  CHECK(space.read(held[1]) == 1.0);
}

TEST_CASE("what was promised a wait may be gone by then") {
  CudaSpace<double> space(0);
  const Numbers<double> number(space, 100);
  const auto a = number.square(7);
  {
    const DeviceVector<double> memory(space, std::vector<double>(50));
    space.project({number.memory.data(), 2, 50, 2}, {number.memory.data(), 2},
                  slots_of<double>(memory));
  }
  CHECK(space.read(a) == 49.0);
  // Its place may be taken by something else, of which the mirror knows nothing.
  const std::vector<double> host = gaussian<double>(50, 54);
  const DeviceVector<double> next(space, host);
  CHECK(next.host() == host);
  const DeviceVector<double> after(space, host);
  CHECK(after.host() == host);
}

TEST_CASE("what others queue on the stream is seen") {
  const auto queue = device::DeviceQueue::of(0);
  // cudaStreamLegacy: another queue, in the same order of work.
  const auto other = device::DeviceQueue::of(0, reinterpret_cast<void*>(1));
  CHECK(other != queue);
  CHECK(device::DeviceQueue::of(0) == queue);
  const std::vector<double> ones(5, 1.0), twos(5, 2.0);
  const DeviceVector<double> x(*queue, ones);
  CHECK(x.host() == ones);
  CHECK(queue->stream() == nullptr);
  other->upload(x.data(), twos.data(), 40);
  other->wait();
  CHECK(x.host() == twos);
}

// ---- memory ----

TEST_CASE("no room is an error that says how much") {
  CudaSpace<double> space(0);
  auto& queue = space.queue();
  const std::size_t before = queue.bytes_in_use();
  const DeviceVector<double> x(space, std::vector<double>(100, 1.0));
  CHECK(queue.bytes_in_use() == before + 800);
  constexpr std::size_t kTooMuch = std::size_t{1} << 50;
  try {
    space.allocate(kTooMuch);
    FAIL("a pebibyte was allocated");
  } catch (const DeviceOutOfMemory& e) {
    CHECK(e.bytes == kTooMuch);
    CHECK(e.held == before + 800);
    CHECK(std::string(e.what()).find(std::to_string(kTooMuch)) != std::string::npos);
    CHECK(std::string(e.what()).find(std::to_string(before + 800)) != std::string::npos);
  }
  CHECK(queue.bytes_in_use() == before + 800);
  CHECK(space.read(space.norm2(x.view())) == 100.0);
}

TEST_CASE("a method without room throws it, and the space goes on") {
  CudaSpace<double> space(0);
  struct Huge {
    Index rows() const { return Index{1} << 50; }
    Index cols() const { return rows(); }
    void apply(VectorView<const double>, VectorView<double>) const { FAIL("was called"); }
  } A;
  const DeviceVector<double> x(space, std::vector<double>(100, 1.0));
  CgWorkspace<CudaSpace<double>> ws;
  CHECK_THROWS_AS(cg(space, A, {x.data(), A.rows()}, {x.data(), A.rows()}, ws), DeviceOutOfMemory);
  const auto D = diagonal_matrix<double>(geometric(100, 10.0));
  const DeviceVector<double> y(space, std::vector<double>(100));
  CHECK(cg(space, staged(space, D), x.view(), y.view(), ws).status == Status::converged);
}

TEST_CASE("released memory serves what was queued before") {
  CudaSpace<double> space(0);
  const Index n = 200000;
  const DeviceVector<double> y(space, std::vector<double>(at(n)));
  const std::size_t before = space.queue().bytes_in_use();
  for (Index round = 0; round < 20; ++round) {
    const DeviceVector<double> x(space, std::vector<double>(at(n), 1.0));
    for (Index k = 0; k < 5; ++k) space.axpby(1.0, x.view(), 1.0, y.view());
  }
  CHECK(space.queue().bytes_in_use() == before);
  const DeviceVector<double> next(space, std::vector<double>(at(n), 7.0));
  CHECK(y.host() == std::vector<double>(at(n), 100.0));
  CHECK(next.host() == std::vector<double>(at(n), 7.0));
}

TEST_CASE("work is done even if nobody reads on that queue any more") {
  const auto other = device::DeviceQueue::of(0, reinterpret_cast<void*>(1));
  const DeviceVector<double> x(*other, std::vector<double>(1000, 1.0));
  other->wait();
  {
    CudaSpace<double> space(0);
    space.scale(3.0, x.view());
  }
  CudaSpace<double> space(0);
  CHECK(space.read(space.norm2(x.view())) == 9000.0);
}

TEST_CASE("memory from somebody else's pool") {
  const auto queue = device::DeviceQueue::of(0);
  CudaSpace<double> space(queue);
  struct Pool {
    std::shared_ptr<void> memory;
    std::size_t size, taken = 0;
    std::vector<void*> out;
  };
  Pool pool{queue->allocate(1 << 20), 1 << 20, 0, {}};
  std::optional<DeviceVector<double>> before;
  before.emplace(space, std::vector<double>(10, 2.0));
  const std::size_t held = queue->bytes_in_use();
  CHECK(space.read(space.norm2(before->view())) == 40.0);  // its scalars' memory is there now
  queue->use_allocator(
      [&](std::size_t bytes) -> void* {
        const std::size_t rounded = (bytes + 255) / 256 * 256;
        if (rounded > pool.size - pool.taken) return nullptr;
        void* p = static_cast<char*>(pool.memory.get()) + pool.taken;
        pool.taken += rounded;
        pool.out.push_back(p);
        return p;
      },
      [&](void* p) {
        const auto found = std::find(pool.out.begin(), pool.out.end(), p);
        REQUIRE(found != pool.out.end());
        pool.out.erase(found);
      });
  const auto none_made = device_allocations();
  {
    const DeviceVector<double> x(space, std::vector<double>(100, 3.0)),
        y(space, std::vector<double>(1000, 1.0));
    CHECK(pool.out.size() == 2);
    CHECK(space.read(space.norm2(x.view())) == 900.0);
    CHECK(queue->bytes_in_use() == held + 800 + 8000);
    try {
      queue->allocate(2 << 20);
      FAIL("more than the pool holds");
    } catch (const DeviceOutOfMemory& e) {
      CHECK(e.bytes == 2 << 20);
      CHECK(e.held == held + 800 + 8000);
    }
    before.reset();  // not the pool's
    CHECK(pool.out.size() == 2);
  }
  CHECK(pool.out.empty());
  if (none_made) CHECK(*device_allocations() == *none_made);
  // The pool's stays the pool's, whoever is asked later.
  {
    const DeviceVector<double> late(space, std::vector<double>(100, 3.0));
    queue->use_allocator({}, {});
    CHECK(pool.out.size() == 1);
  }
  CHECK(pool.out.empty());
  const DeviceVector<double> own(space, std::vector<double>(10, 2.0));
  CHECK(pool.out.empty());
  CHECK(space.read(space.norm2(own.view())) == 40.0);
}

TEST_CASE("a long wait can be ended") {
  CudaSpace<double> space(0);
  auto& queue = space.queue();
  const Index n = 1 << 18;
  const DeviceVector<double> x(space, std::vector<double>(at(n), 1.0));
  struct Interrupt {};
  Index calls = 0;
  struct Unhook {
    ~Unhook() { device::DeviceQueue::on_wait({}); }
  } const unhook;
  // As much work as takes long enough on this device.
  bool interrupted = false;
  for (Index work = 64; !interrupted && work < (Index{1} << 24); work *= 2) {
    device::DeviceQueue::on_wait([&] {
      if (++calls == 2) throw Interrupt{};
    });
    std::optional<CudaSpace<double>::Real> sum;
    for (Index k = 0; k < work; ++k) sum = space.norm2(x.view());
    calls = 0;
    try {
      space.read(*sum);
    } catch (const Interrupt&) {
      interrupted = true;
    }
    // Not ended a second time: what was queued is done, and the value is right.
    CHECK(space.read(*sum) == static_cast<double>(n));
  }
  CHECK(interrupted);
  device::DeviceQueue::on_wait({});
  space.scale(2.0, x.view());
  const auto a = space.norm2(x.view());
  const Index before = queue.waits();
  CHECK(space.read(a) == 4.0 * static_cast<double>(n));
  CHECK(queue.waits() - before == 1);
  CHECK(x.host() == std::vector<double>(at(n), 2.0));
}

TEST_CASE("a queue may end in the middle of its work") {
  struct Interrupt {};
  struct Unhook {
    ~Unhook() { device::DeviceQueue::on_wait({}); }
  } const unhook;
  for (Index work = 256; work <= 2048; work *= 2) {
    const auto queue = device::DeviceQueue::of(0, reinterpret_cast<void*>(1));
    CudaSpace<double> space(queue);
    const DeviceVector<double> x(space, std::vector<double>(1 << 18, 1.0));
    device::DeviceQueue::on_wait([] { throw Interrupt{}; });
    std::optional<CudaSpace<double>::Real> sum;
    for (Index k = 0; k < work; ++k) sum = space.norm2(x.view());
    double came = static_cast<double>(1 << 18);
    try {
      came = space.read(*sum);
    } catch (const Interrupt&) {
    }
    CHECK(came == static_cast<double>(1 << 18));
  }
  CudaSpace<double> space(0);
  const Numbers<double> number(space, 10);
  device::DeviceQueue::on_wait({});
  CHECK(space.read(number.square(3)) == 9.0);
}

TEST_CASE("a failed call is told, and what comes after works") {
  CudaSpace<double> space(0);
  auto& queue = space.queue();
  const Numbers<double> number(space, 10);
  device::Call wrong{};
  wrong.kernel = device::Kernel::count;
  wrong.element = device::Element::f8;
  const auto a = number.square(3);
  CHECK(space.read(a) == 9.0);
  queue.call(wrong);
  CHECK_THROWS_AS(queue.wait(), DeviceError);
  CHECK(space.read(number.square(4)) == 16.0);
  // Met where memory ends, which cannot throw: told to whoever waits next.
  {
    const DeviceVector<double> x(space, std::vector<double>(10, 1.0));
    queue.call(wrong);
  }
  CHECK_THROWS_AS(space.read(number.square(5)), DeviceError);
  CHECK(space.read(number.square(5)) == 25.0);
}

TEST_CASE("there are devices, and they are described") {
  std::int32_t count = 0;
  REQUIRE(device::backend().count(&count) == device::Error::none);
  CHECK(count >= 1);
  device::Description about;
  REQUIRE(device::backend().describe(0, &about) == device::Error::none);
  CHECK(std::string(about.name) != "");
  CHECK(about.processors >= 1);
  CHECK(about.memory > 0);
  CHECK_THROWS_AS(CudaSpace<double>{count}, DeviceError);
}

// ---- sparse matrices ----

TEST_SUITE_BEGIN("kernels");

TEST_CASE_TEMPLATE_DEFINE("sparse products equal the dense ones", T, cuda_csr) {
  const Index m = 47, n = 31;
  Dense<T> dense = random_dense<T>(m, n, 61);
  std::vector<std::int32_t> starts{0}, indices;
  std::vector<T> values;
  for (Index i = 0; i < m; ++i) {
    for (Index j = 0; j < n; ++j) {
      if ((i * 7 + j * 3) % 5 != 0 || i == 11) {  // one row is empty
        dense(i, j) = T{};
        continue;
      }
      indices.push_back(static_cast<std::int32_t>(j));
      values.push_back(dense(i, j));
    }
    starts.push_back(static_cast<std::int32_t>(indices.size()));
  }
  CudaSpace<T> space(0);
  const DeviceCsr<T> A(
      space, CompressedRows<T, std::int32_t>{m, n, starts.data(), indices.data(), values.data()});
  CHECK(A.entries() == static_cast<Index>(indices.size()));
  static_assert(AdjointOperator<DeviceCsr<T>, T> && AdjointBlockOperator<DeviceCsr<T>, T>);
  const Index cols = 5, ldx = n + 3, ldy = m + 1;
  const std::vector<T> x = gaussian<T>(ldx * cols, 62), y = gaussian<T>(ldy * cols, 63);
  std::vector<T> ax = y, ay = x;
  for (Index j = 0; j < cols; ++j) {
    dense.apply({x.data() + j * ldx, n}, {ax.data() + j * ldy, m});
    dense.apply_adjoint({y.data() + j * ldy, m}, {ay.data() + j * ldx, n});
  }
  const DeviceVector<T> X(space, x), Y(space, y);
  // First alone, then all together: the rest must stay as it is.
  const DeviceVector<T> AX(space, y), AY(space, x);
  A.apply({X.data(), n}, {AX.data(), m});
  A.apply_adjoint({Y.data(), m}, {AY.data(), n});
  std::vector<T> first = y, first_adjoint = x;
  std::copy_n(ax.begin(), m, first.begin());
  std::copy_n(ay.begin(), n, first_adjoint.begin());
  CHECK(distance(AX.host(), first) <= 4 * kEps<T> * norm(first));
  CHECK(distance(AY.host(), first_adjoint) <= 4 * kEps<T> * norm(first_adjoint));
  A.apply_block({X.data(), n, cols, ldx}, {AX.data(), m, cols, ldy});
  A.apply_adjoint_block({Y.data(), m, cols, ldy}, {AY.data(), n, cols, ldx});
  CHECK(distance(AX.host(), ax) <= 4 * kEps<T> * norm(ax));
  CHECK(distance(AY.host(), ay) <= 4 * kEps<T> * norm(ay));
}
TEST_CASE_TEMPLATE_APPLY(cuda_csr, Fields);

TEST_CASE("a sparse matrix without rows, columns or entries") {
  CudaSpace<double> space(0);
  const std::vector<Index> starts(4, 0);
  const DeviceVector<double> x(space, std::vector<double>(3, 1.0)),
      y(space, std::vector<double>(3, 1.0));
  const CompressedRows<double, Index> empty{3, 3, starts.data(), nullptr, nullptr};
  const DeviceCsr<double> A(space, empty);
  A.apply(x.view(), y.view());
  CHECK(y.host() == std::vector<double>(3));
  space.fill(1.0, y.view());
  A.apply_adjoint(x.view(), y.view());
  CHECK(y.host() == std::vector<double>(3));
  const CompressedRows<double, Index> nothing{0, 0, starts.data(), nullptr, nullptr};
  const DeviceCsr<double> B(space, nothing);
  B.apply({x.data(), 0}, {y.data(), 0});
  B.apply_adjoint({x.data(), 0}, {y.data(), 0});
  const std::vector<Index> wrong{0, 2, 1, 1};
  CHECK_THROWS_AS(
      DeviceCsr<double>(space, CompressedRows<double, Index>{3, 3, wrong.data(), nullptr, nullptr}),
      InvalidArgument);
}

TEST_SUITE_END();

}  // namespace
}  // namespace ritz::testing
