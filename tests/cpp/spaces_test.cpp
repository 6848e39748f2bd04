// Every operation of HostSpace against ReferenceSpace, for each field and instruction set level.
#include <doctest/doctest.h>

#include <bit>
#include <string>
#include <tuple>
#include <vector>

#include "allocation_counter.hpp"
#include "child_process.hpp"
#include "problems.hpp"
#include "ritz/space/host.hpp"
#include "ritz/space/reference.hpp"
#include "space_operations.hpp"

namespace ritz::testing {
namespace {

/// FNV-1a over the doubles or floats of a vector: two results agree in it only if they agree in
/// every bit, but for accidents of 2^-64.
template <class T>
std::uint64_t digest(const std::vector<T>& x) {
  using R = RealOf<T>;
  using Bits = std::conditional_t<sizeof(R) == 4, std::uint32_t, std::uint64_t>;
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto* parts = reinterpret_cast<const R*>(x.data());
  for (std::size_t i = 0; i < x.size() * sizeof(T) / sizeof(R); ++i) {
    hash = (hash ^ std::bit_cast<Bits>(parts[i])) * 0x100000001b3u;
    hash ^= hash >> 29;
  }
  return hash;
}

/// Restores the number of threads.
struct Threads {
  explicit Threads(Index count) : before(threads::num_threads()) {
    threads::set_num_threads(count);
  }
  ~Threads() { threads::set_num_threads(before); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  Index before;
};

static_assert(Space<HostSpace<float>> && Space<HostSpace<double>> &&
              Space<HostSpace<std::complex<float>>> && Space<HostSpace<std::complex<double>>>);

TEST_CASE_TEMPLATE_DEFINE("every operation equals the reference on every level", T, spaces_equal) {
  for (const Index n : {0, 1, 7, 64, 1000, 4099, 70001}) {
    const Index offset = n % 4;
    const Data<T> data(n, offset, 11);
    Data<T> expected = data, came = data;  // memory used again by every operation
    for_each_operation<T>([&](const std::string& name, Sum sum, const auto& operation) {
      ReferenceSpace<T> reference;
      expected = data;
      operation(reference, expected);
      for (const Isa isa : kernels::supported_isas()) {
        HostSpace<T> space(Comm{}, isa);
        came = data;
        operation(space, came);
        compare(std::string(name) + " on " + std::string(kernels::name(isa)), sum, came, expected);
      }
    });
  }
}
TEST_CASE_TEMPLATE_APPLY(spaces_equal, Fields);

TEST_CASE_TEMPLATE_DEFINE("any start in memory", T, spaces_unaligned) {
  for (const Index offset : {0, 1, 2, 3, 5}) {
    const Data<T> data(131, offset, 12);
    for_each_operation<T>([&](const std::string& name, Sum sum, const auto& operation) {
      ReferenceSpace<T> reference;
      HostSpace<T> space;
      Data<T> expected = data, came = data;
      operation(reference, expected);
      operation(space, came);
      compare(name, sum, came, expected);
    });
  }
}
TEST_CASE_TEMPLATE_APPLY(spaces_unaligned, Fields);

TEST_CASE_TEMPLATE_DEFINE("same bits for any number of threads", T, spaces_threads) {
  HostSpace<T> space;
  for (const Index n : {4099, 70001, 150001}) {
    const Data<T> data(n, 1, 13);
    Data<T> came = data;
    std::vector<std::uint64_t> expected;  // a digest for each operation
    for (const Index count : {1, 2, 7}) {
      const Threads several(count);
      std::size_t k = 0;
      for_each_operation<T>([&](const std::string& name, Sum, const auto& operation) {
        CAPTURE(name);
        CAPTURE(n);
        CAPTURE(count);
        came = data;
        operation(space, came);
        const std::uint64_t bits = digest(came.memory) ^ digest(came.results);
        if (count == 1) {
          expected.push_back(bits);
        } else {
          CHECK(bits == expected[k++]);
        }
      });
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(spaces_threads, Fields);

TEST_CASE_TEMPLATE_DEFINE("no operation allocates", T, spaces_allocations) {
  const Threads two(2);
  for (const Index n : {1000, 70001}) {
    Data<T> data(n, 0, 14);
    HostSpace<T> space;
    space.norm2(data.x());  // starts the threads
    for_each_operation<T>([&](const std::string& name, Sum, const auto& operation) {
      CAPTURE(name);
      CHECK(allocations_in([&] { operation(space, data); }) == 0);
    });
  }
}
TEST_CASE_TEMPLATE_APPLY(spaces_allocations, Fields);

TEST_CASE("the allocation counter counts") {
  CHECK(allocations_in([] { std::vector<double> x(100); }) == 1);
  CHECK(allocations_in([] { HostSpace<double>::allocate(100); }) > 0);
}

TEST_CASE_TEMPLATE_DEFINE("what is overwritten is not read", T, spaces_overwrite) {
  const T nan = static_cast<T>(std::numeric_limits<double>::quiet_NaN());
  for (const Isa isa : kernels::supported_isas()) {
    HostSpace<T> space(Comm{}, isa);
    const std::vector<T> x = gaussian<T>(1003, 15);
    std::vector<T> y(x.size(), nan);
    space.axpby(2.0, view(x), 0.0, view(y));
    CHECK(all_finite(y));
    y.assign(x.size(), nan);
    CHECK(std::isfinite(space.axpby_norm2(2.0, view(x), 0.0, view(y))));
    CHECK(all_finite(y));
    y.assign(x.size(), nan);
    CHECK(std::isfinite(space.add3_norm2(2.0, view(x), 3.0, view(x), 0.0, view(y))));
    CHECK(all_finite(y));
    std::vector<T> u(x.size(), nan), z = x;
    CHECK(std::isfinite(space.add3_norm2(2.0, view(x), 0.0, view(u), 1.0, view(y))));
    CHECK(all_finite(y));
    y.assign(x.size(), nan);
    space.step3(2.0, view(x), 0.0, view(y), 0.0, view(u), 3.0, view(z));
    CHECK(all_finite(y));
    CHECK(all_finite(z));
    space.step3(2.0, view(x), 1.0, view(y), 0.0, view(u), 3.0, view(z));
    CHECK(all_finite(z));
    space.step3(2.0, view(x), 0.0, view(u), 1.0, view(y), 3.0, view(z));
    CHECK(all_finite(z));

    y.assign(x.size(), nan);
    space.axpby(1.0, view(x), 1.0, view(y));
    CHECK(!all_finite(y));
    y.assign(x.size(), nan);
    CHECK(!std::isfinite(space.add3_norm2(1.0, view(x), 1.0, view(x), 1.0, view(y))));
  }
}
TEST_CASE_TEMPLATE_APPLY(spaces_overwrite, Fields);

TEST_CASE_TEMPLATE_DEFINE("more columns than one sweep projects on", T, spaces_wide) {
  const Index n = 2100, cols = 131;
  const std::vector<T> v = gaussian<T>(n * cols, 16), w = gaussian<T>(n, 17);
  const BlockView<const T> V{v.data(), n, cols, n};
  const std::vector<WideOf<T>> h = gaussian<WideOf<T>>(cols, 18);
  HostSpace<T> space;
  ReferenceSpace<T> reference;
  const auto run = [&](auto& s) {
    std::vector<T> u = w;
    std::vector<WideOf<T>> slots = h, g(h.size()), k(h.size());
    s.project(V, view(w), k);
    s.subtract_project(V, slots, view(u), g);
    return std::tuple(u, g, k);
  };
  const auto [u, g, k] = run(space);
  const auto [u0, g0, k0] = run(reference);
  CHECK(distance(k, k0) <= 1e-13 * norm(k0));
  CHECK(distance(u, u0) <= 20 * kEps<T> * norm(u0));
  CHECK(distance(g, g0) <= 20 * kEps<T> * norm(g0));
}
TEST_CASE_TEMPLATE_APPLY(spaces_wide, Fields);

TEST_CASE_TEMPLATE_DEFINE("blocks of several strips", T, spaces_long) {
  const Index n = 1600001, cols = 2;  // 64 blocks, each longer than a strip of w alone
  const std::vector<T> v = gaussian<T>(n * cols, 24), w = gaussian<T>(n, 25);
  const BlockView<const T> V{v.data(), n, cols, n};
  std::vector<WideOf<T>> h(cols), g(cols);
  HostSpace<T>().project(V, view(w), h);
  ReferenceSpace<T>().project(V, view(w), g);
  CHECK(distance(h, g) <= 1e-14 * norm(v) * norm(w));
}
TEST_CASE_TEMPLATE_APPLY(spaces_long, Fields);

TEST_CASE("combining more columns than fit on the stack") {
  using T = std::complex<double>;
  const Index n = 3, cols = 4100;
  const std::vector<T> v = gaussian<T>(n * cols, 19), s = gaussian<T>(cols * 2, 20);
  std::vector<T> came = v, expected = v;
  HostSpace<T>().combine({came.data(), n, cols, n}, {s.data(), cols, 2, cols});
  ReferenceSpace<T>().combine({expected.data(), n, cols, n}, {s.data(), cols, 2, cols});
  CHECK(distance(came, expected) <= 1e-14 * norm(expected));
  CHECK(std::equal(came.begin() + 2 * n, came.end(), v.begin() + 2 * n));
}

TEST_CASE_TEMPLATE_DEFINE("cast between precisions", R, spaces_cast) {
  const auto check = []<Field From, Field To>(const std::vector<From>& x, To) {
    for (const Isa isa : kernels::supported_isas()) {
      HostSpace<From> space(Comm{}, isa);
      ReferenceSpace<From> reference;
      std::vector<To> came(x.size()), expected(x.size());
      space.cast(view(x), view(came));
      reference.cast(view(x), view(expected));
      CHECK(came == expected);
    }
  };
  using Other = std::conditional_t<std::same_as<R, float>, double, float>;
  check(gaussian<R>(1003, 21), Other{});
  check(gaussian<std::complex<R>>(1003, 22), std::complex<Other>{});
}
TEST_CASE_TEMPLATE_INVOKE(spaces_cast, float, double);

TEST_CASE_TEMPLATE_DEFINE("reciprocals at the ends of the range", T, spaces_reciprocal) {
  using R = RealOf<T>;
  // 1 / x is representable although |x|² is not.
  const R large = std::sqrt(std::numeric_limits<R>::max()) * R{8}, small = R{1} / large;
  const std::vector<T> x = {static_cast<T>(large), static_cast<T>(small), static_cast<T>(-large),
                            T{}, static_cast<T>(R{1})};
  for (const Isa isa : kernels::supported_isas()) {
    HostSpace<T> space(Comm{}, isa);
    std::vector<T> y(x.size());
    space.reciprocal(view(x), view(y));
    CHECK(magnitude(y[0]) == doctest::Approx(static_cast<double>(small)));
    CHECK(magnitude(y[1]) == doctest::Approx(static_cast<double>(large)));
    CHECK(std::real(y[2]) == doctest::Approx(-static_cast<double>(small)));
    CHECK(y[3] == T{1});
    CHECK(y[4] == T{1});
  }
}
TEST_CASE_TEMPLATE_APPLY(spaces_reciprocal, Fields);

TEST_CASE_TEMPLATE_DEFINE("moments of the normal numbers", T, spaces_normal) {
  const Index n = 400001;
  std::vector<T> x(at(n)), other(at(n));
  HostSpace<T> space;
  space.random_normal({5, 0}, view(x));
  space.random_normal({5, 1}, view(other));
  CHECK(all_finite(x));
  // Five standard deviations of each mean. Parts of variance v = 1, or 1/2 when complex, have
  // moments 0, v, 0, 3v², and Var z² = 2v², Var z³ = 15v³, Var z⁴ = 96v⁴; products have v².
  constexpr Index kParts = ComplexField<T> ? 2 : 1;
  const double v = 1.0 / kParts, five = 5.0 / std::sqrt(static_cast<double>(n));
  for (Index part = 0; part < kParts; ++part) {
    const auto of = [&](const std::vector<T>& z, Index i) {
      return static_cast<double>(reinterpret_cast<const RealOf<T>*>(z.data())[i * kParts + part]);
    };
    double m1 = 0, m2 = 0, m3 = 0, m4 = 0, lagged = 0, streams = 0, parts = 0, tail = 0;
    for (Index i = 0; i < n; ++i) {
      const double z = of(x, i), weight = 1.0 / static_cast<double>(n);
      m1 += weight * z;
      m2 += weight * z * z;
      m3 += weight * z * z * z;
      m4 += weight * z * z * z * z;
      lagged += weight * z * (i > 0 ? of(x, i - 1) : 0.0);
      streams += weight * z * of(other, i);
      parts += weight * std::real(x[at(i)]) * std::imag(x[at(i)]);
      tail += weight * (std::abs(z) > 1.959963985 * std::sqrt(v) ? 1.0 : 0.0);
    }
    CHECK(std::abs(m1) < five * std::sqrt(v));
    CHECK(std::abs(m2 - v) < five * std::sqrt(2.0) * v);
    CHECK(std::abs(m3) < five * std::sqrt(15.0 * v) * v);
    CHECK(std::abs(m4 - 3 * v * v) < five * std::sqrt(96.0) * v * v);
    CHECK(std::abs(lagged) < five * v);
    CHECK(std::abs(streams) < five * v);
    CHECK(std::abs(parts) < five * v);
    CHECK(std::abs(tail - 0.05) < five * std::sqrt(0.05 * 0.95));
  }
  // A longer vector begins with the shorter one.
  std::vector<T> shorter(1001);
  space.random_normal({5, 0}, view(shorter));
  CHECK(std::equal(shorter.begin(), shorter.end(), x.begin()));
}
TEST_CASE_TEMPLATE_APPLY(spaces_normal, Fields);

TEST_CASE_TEMPLATE_DEFINE("products of blocks of all shapes equal the reference", T,
                          spaces_blocks) {
  using W = WideOf<T>;
  ReferenceSpace<T> reference;
  for (const auto& [n, k, b] : {std::array<Index, 3>{0, 5, 3},
                                {513, 1, 9},
                                {4103, 37, 19},
                                {300, 150, 1},
                                {1030, 5, 70},
                                {9, 0, 3},
                                {65, 131, 34}}) {
    CAPTURE(n);
    CAPTURE(k);
    const Index ld = n + 3;
    std::vector<T> v = gaussian<T>(ld * std::max<Index>(k, 1), 5), w = gaussian<T>(ld * b, 6);
    const BlockView<const T> V{v.data(), n, k, ld};
    std::vector<W> h(at(k * b), W{7.0}), exact = h;
    reference.project_block(V, {w.data(), n, b, ld}, exact);
    std::vector<T> difference = w;
    reference.subtract_block(V, exact, {difference.data(), n, b, ld});
    const auto size = static_cast<double>(n + 1);
    for (const Isa isa : kernels::supported_isas()) {
      HostSpace<T> space(Comm{}, isa);
      std::vector<T> x = w;
      std::vector<std::vector<W>> sums;
      for (const Index count : {1, 3}) {
        const Threads threads(count);
        h.assign(h.size(), W{7.0});
        space.project_block(V, {x.data(), n, b, ld}, h);
        sums.push_back(h);
      }
      CHECK(same_bits(sums[0], sums[1]));
      double worst = 0.0;
      for (std::size_t i = 0; i < h.size(); ++i) worst = std::max(worst, std::abs(h[i] - exact[i]));
      CHECK(worst <= 16.0 * kEps<double> * size);
      space.subtract_block(V, exact, {x.data(), n, b, ld});
      CHECK(distance(x, difference) <= 4.0 * kEps<T> * norm(difference) + kEps<double> * size);
    }
  }
}
TEST_CASE_TEMPLATE_APPLY(spaces_blocks, Fields);

TEST_CASE_TEMPLATE_DEFINE("each reduction is one sum over the ranks", T, spaces_comm) {
  Index calls = 0;
  const auto two_ranks = [&](double* values, Index count) {
    ++calls;
    for (Index i = 0; i < count; ++i) values[i] *= 2.0;  // the other rank holds the same
  };
  HostSpace<T> alone, space(Comm{two_ranks});
  const Data<T> data(3000, 0, 23);
  for_each_operation<T>([&](const std::string& name, Sum sum, const auto& operation) {
    CAPTURE(name);
    Data<T> expected = data, came = data;
    operation(alone, expected);
    calls = 0;
    operation(space, came);
    CHECK(calls == (sum == Sum::none ? 0 : 1));
    for (WideOf<T>& r : expected.results) r *= 2.0;
    CHECK(came.results == expected.results);
    CHECK(same_bits(came.memory, expected.memory));
  });
}
TEST_CASE_TEMPLATE_APPLY(spaces_comm, Fields);

TEST_CASE("single-precision sums are taken in double precision") {
  // In single precision the ones would be lost beside the first square.
  std::vector<float> x(40001, 1.0f);
  x[0] = 8192.0f;
  HostSpace<float> space;
  CHECK(space.norm2(view(x)) == 8192.0 * 8192.0 + 40000.0);
  CHECK(space.dot(view(x), view(x)) == 8192.0 * 8192.0 + 40000.0);
  double sum = 0.0;
  const BlockView<const float> X{x.data(), 40001, 1, 40001};
  space.project_block(X, X, std::span(&sum, 1));
  CHECK(sum == 8192.0 * 8192.0 + 40000.0);
  // Of 10⁸ + 1 − 10⁸ the one as well.
  std::vector<float> V(3 * 40), w(40, 3.0f);
  for (Index i = 0; i < 40; ++i) {
    V[at(i)] = 1e8f;
    V[at(40 + i)] = 1.0f;
    V[at(80 + i)] = -1e8f;
  }
  std::vector<double> ones(3, 1.0);
  space.subtract_block({V.data(), 40, 3, 40}, ones, {w.data(), 40, 1, 40});
  CHECK(w == std::vector<float>(40, 2.0f));
}

TEST_CASE("memory is found by any address inside it") {
  CHECK(HostSpace<double>::owner(nullptr) == nullptr);
  double outside = 0.0;
  CHECK(HostSpace<double>::owner(&outside) == nullptr);

  std::shared_ptr<void> buffer = HostSpace<double>::allocate(800);
  std::shared_ptr<void> other = HostSpace<double>::allocate(0);
  auto* data = static_cast<double*>(buffer.get());
  CHECK(reinterpret_cast<std::uintptr_t>(data) % 64 == 0);
  CHECK(HostSpace<double>::owner(data) == buffer);
  CHECK(HostSpace<float>::owner(data + 99) == buffer);
  CHECK(HostSpace<double>::owner(data + 100) != buffer);
  CHECK(HostSpace<double>::owner(other.get()) == other);

  const std::shared_ptr<void> kept = HostSpace<double>::owner(data + 50);
  buffer.reset();
  CHECK(HostSpace<double>::owner(data) == kept);
  data[0] = 1.0;  // still alive
}

TEST_CASE("memory is found no more once freed") {
  std::shared_ptr<void> buffer = HostSpace<double>::allocate(1 << 20);
  const void* address = buffer.get();
  CHECK(HostSpace<double>::owner(address) == buffer);
  buffer.reset();
  CHECK(HostSpace<double>::owner(address) == nullptr);
}

TEST_CASE("the level can be forced" * doctest::skip()) {
  const char* forced = std::getenv("RITZ_ISA");
  REQUIRE(forced != nullptr);
  CHECK(kernels::name(kernels::default_isa()) == forced);
  std::vector<double> x(100, 2.0);
  CHECK(HostSpace<double>().norm2(view(x)) == 400.0);
}
TEST_CASE("an unknown level is refused by name" * doctest::skip()) {
  try {
    HostSpace<double> space;
    FAIL("the level was accepted");
  } catch (const InvalidArgument& e) {
    CHECK(std::string(e.what()).find("RITZ_ISA is \"v9\"") == 0);
  }
}
TEST_CASE("RITZ_ISA") {
  for (const Isa isa : kernels::supported_isas()) {
    CHECK(run_test_case("the level can be forced", "RITZ_ISA", kernels::name(isa).data()) == 0);
  }
  CHECK(run_test_case("an unknown level is refused by name", "RITZ_ISA", "v9") == 0);
  CHECK(run_test_case("the level can be forced", "RITZ_ISA", "v9") != 0);
}

TEST_CASE("a level that the processor lacks is refused") {
  for (const Isa isa : {Isa::base, Isa::v3, Isa::v4}) {
    const auto supported = kernels::supported_isas();
    if (std::find(supported.begin(), supported.end(), isa) == supported.end()) {
      CHECK_THROWS_AS(HostSpace<double>(Comm{}, isa), InvalidArgument);
    } else {
      CHECK_NOTHROW(HostSpace<double>(Comm{}, isa));
    }
  }
  CHECK_THROWS_AS(kernels::tables(static_cast<Isa>(9)), InvalidArgument);
}

}  // namespace
}  // namespace ritz::testing
