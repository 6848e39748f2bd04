// The random numbers against their published values, and as statistics.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "problems.hpp"
#include "ritz/sketch/philox.hpp"
#include "ritz/space/host.hpp"

namespace ritz::testing {
namespace {

TEST_CASE("Philox4x32-10 gives the known answers of Random123") {
  using philox::block;
  using philox::Block;
  CHECK(block({0, 0, 0, 0}, 0, 0) == Block{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  CHECK(block({0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}, 0xffffffffu, 0xffffffffu) ==
        Block{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  // The digits of π.
  CHECK(block({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, 0xa4093822u, 0x299f31d0u) ==
        Block{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("seed, stream and index are the key and the counter") {
  CHECK(philox::bits(0x299f31d0a4093822u, 0x0370734413198a2eu,
                     static_cast<Index>(0x85a308d3243f6a88u)) ==
        philox::Block{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("moments of the uniform numbers and of the signs") {
  const Index n = 400000;
  double u1 = 0, u2 = 0, u4 = 0, uv = 0, lagged = 0, largest = 0, s1 = 0, s_lagged = 0;
  double previous = 0, s_previous = 0;
  for (Index i = 0; i < n; ++i) {
    const auto [u, v] = philox::uniform2(5, 0, i);
    const double s = philox::sign(5, 0, i);
    u1 += u;
    u2 += u * u;
    u4 += u * u * u * u;
    uv += u * v;
    lagged += u * previous;
    largest = std::max({largest, std::abs(u), std::abs(v)});
    s1 += s;
    s_lagged += s * s_previous;
    CHECK_UNARY(s == 1.0 || s == -1.0);
    previous = u;
    s_previous = s;
  }
  // Five standard deviations of each mean; Var u = 1/3, Var u² = 4/45, Var u⁴ = 16/225,
  // Var uv = 1/9.
  const double five = 5.0 / std::sqrt(static_cast<double>(n));
  const auto mean = [&](double sum) { return sum / static_cast<double>(n); };
  CHECK(std::abs(mean(u1)) < five * std::sqrt(1.0 / 3));
  CHECK(std::abs(mean(u2) - 1.0 / 3) < five * std::sqrt(4.0 / 45));
  CHECK(std::abs(mean(u4) - 1.0 / 5) < five * std::sqrt(16.0 / 225));
  CHECK(std::abs(mean(uv)) < five / 3);
  CHECK(std::abs(mean(lagged)) < five / 3);
  CHECK(std::abs(mean(s1)) < five);
  CHECK(std::abs(mean(s_lagged)) < five);
  CHECK(largest < 1.0);
  CHECK(largest > 1.0 - 1e-4);
}

TEST_CASE("streams and seeds are uncorrelated") {
  const Index n = 100000;
  double streams = 0, seeds = 0, sign_streams = 0;
  for (Index i = 0; i < n; ++i) {
    const double u = philox::uniform2(1, 0, i).first;
    streams += u * philox::uniform2(1, 1, i).first;
    seeds += u * philox::uniform2(2, 0, i).first;
    sign_streams += philox::sign(1, 0, i) * philox::sign(1, 1, i);
  }
  const double five = 5.0 * std::sqrt(static_cast<double>(n));
  CHECK(std::abs(streams) < five / 3);
  CHECK(std::abs(seeds) < five / 3);
  CHECK(std::abs(sign_streams) < five);
}

TEST_CASE_TEMPLATE("a vector does not depend on the order in which its blocks are filled", T, float,
                   double, std::complex<float>, std::complex<double>) {
  const Index n = 1000;
  const std::vector<Index> cuts = {0, 1, 100, 127, 128, 129, 511, 640, 999, n};
  for (const Isa isa : kernels::supported_isas()) {
    const kernels::KernelTable<T>& k = kernels::tables(isa).of<T>();
    std::vector<T> signs(at(n)), uniforms(at(n)), whole_signs(at(n)), whole_uniforms(at(n));
    std::vector<T> normals(at(n)), sketch(at(n)), scaled(at(n)), whole(at(n));
    for (std::size_t c = cuts.size() - 1; c > 0; --c) {  // backwards
      const Index first = cuts[c - 1], count = cuts[c] - first;
      k.random_signs({9, 4}, first, count, signs.data() + first);
      k.random_uniform({9, 4}, first, count, uniforms.data() + first);
      k.random_normal({9, 4}, first, count, normals.data() + first);
      k.sketch_normal({9, 4}, first, count, 0.25, sketch.data() + first);
      k.sketch_signs({9, 4}, first, count, 0.25, scaled.data() + first);
    }
    HostSpace<T> space(Comm{}, isa);
    space.random_signs({9, 4}, view(whole_signs));
    space.random_uniform({9, 4}, view(whole_uniforms));
    CHECK(signs == whole_signs);
    CHECK(uniforms == whole_uniforms);
    space.random_normal({9, 4}, view(whole));
    CHECK(normals == whole);
    k.sketch_normal({9, 4}, 0, n, 0.25, whole.data());
    CHECK(sketch == whole);
    for (Index i = 0; i < n; ++i) whole[at(i)] = signs[at(i)] * RealOf<T>(0.25);
    CHECK(scaled == whole);
    // Single elements, at all places of a register.
    for (Index i = 0; i < 80; ++i) {
      T x;
      k.random_normal({9, 4}, i, 1, &x);
      CHECK(x == normals[at(i)]);
      k.sketch_normal({9, 4}, i, 1, 0.25, &x);
      CHECK(x == sketch[at(i)]);
      k.sketch_signs({9, 4}, i, 1, 0.25, &x);
      CHECK(x == scaled[at(i)]);
    }
    // A longer vector begins with the shorter one.
    std::vector<T> longer(at(n + 77));
    space.random_signs({9, 4}, view(longer));
    CHECK(std::equal(signs.begin(), signs.end(), longer.begin()));
    space.random_uniform({9, 4}, view(longer));
    CHECK(std::equal(uniforms.begin(), uniforms.end(), longer.begin()));
  }
}

/// The critical value of √N times Kolmogorov's statistic at a level α = 1e-6 ≈ 2 exp(−2 x²).
const double kKolmogorov = std::sqrt(-0.5 * std::log(0.5e-6));

/// √N sup |F_N − F|
template <class F>
double kolmogorov(std::vector<double> x, const F& distribution) {
  std::sort(x.begin(), x.end());
  const auto n = static_cast<double>(x.size());
  double worst = 0.0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double f = distribution(x[i]), below = static_cast<double>(i) / n;
    worst = std::max({worst, f - below, below + 1 / n - f});
  }
  return std::sqrt(n) * worst;
}

TEST_CASE("uniform and normal numbers have their distributions") {
  const auto normal = [](double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); };
  for (const Index n : {1000, 10000, 100000}) {
    for (const std::uint64_t seed : {1u, 2u}) {
      std::vector<double> u(at(n)), z(at(n)), short_z(at(n));
      for (Index i = 0; i < n; ++i) u[at(i)] = philox::uniform2(seed, 3, i).second;
      CHECK(kolmogorov(u, [](double x) { return 0.5 * (x + 1); }) < kKolmogorov);
      philox::normals(seed, 3, 0, n, z.data());
      CHECK(kolmogorov(z, normal) < kKolmogorov);
      std::vector<float> f(at(n));
      kernels::tables(kernels::default_isa())
          .of<float>()
          .sketch_normal({seed, 3}, 0, n, 1, f.data());
      std::copy(f.begin(), f.end(), short_z.begin());
      CHECK(kolmogorov(short_z, normal) < kKolmogorov);
      // The test sees a variance that is off by a tenth.
      if (n == 100000) {
        for (double& x : z) x *= std::sqrt(1.1);
        CHECK(kolmogorov(z, normal) > kKolmogorov);
      }
    }
  }
}

/// x in units of the last place that y has in precision R.
template <class R>
double units(long double x, long double y) {
  constexpr int kDigits = std::numeric_limits<R>::digits;
  return static_cast<double>(x / std::ldexp(1.0L, std::ilogb(y) - kDigits + 1));
}

TEST_CASE("normal numbers are those of Box and Muller to three units of the last place") {
  // Products of a radius and a cosine, each within a unit or so of its true value. Angles are
  // reduced exactly, for which 4v − round(4v) is exact.
  const auto polar = [](long double u, long double v, long double& c, long double& s) {
    const long double turn = 4 * v, q = std::round(turn);
    const long double a = std::numbers::pi_v<long double> / 2 * (turn - q);
    const long double r = std::sqrt(-2 * std::log(u));
    const std::pair<long double, long double> at_q[] = {{std::cos(a), std::sin(a)},
                                                        {-std::sin(a), std::cos(a)},
                                                        {-std::cos(a), -std::sin(a)},
                                                        {std::sin(a), -std::cos(a)}};
    c = r * at_q[static_cast<int>(q) % 4].first;
    s = r * at_q[static_cast<int>(q) % 4].second;
  };
  const auto draw = [](std::uint32_t low, std::uint32_t high) {
    return (static_cast<double>((std::uint64_t{high} << 32 | low) >> 11) + 0.5) * 0x1p-53;
  };
  const Index n = 20000;
  for (const Isa isa : kernels::supported_isas()) {
    CAPTURE(kernels::name(isa));
    std::vector<double> z(at(n));
    kernels::tables(isa).of<double>().random_normal({3, 5}, 0, n, z.data());
    double worst = 0.0, apart = 0.0;
    for (Index i = 0; i < n; i += 2) {
      const philox::Block b = philox::bits(3, 5, i / 2);
      long double c, s;
      polar(draw(b[0], b[1]), draw(b[2], b[3]), c, s);
      worst = std::max(worst, std::abs(units<double>(z[at(i)] - c, c)));
      worst = std::max(worst, std::abs(units<double>(z[at(i + 1)] - s, s)));
      const auto [u, v] = philox::normal2(3, 5, i / 2);
      apart = std::max({apart, std::abs(u - z[at(i)]), std::abs(v - z[at(i + 1)])});
    }
    CHECK(worst <= 3.0);
    CHECK(apart <= 1e-14);

    std::vector<float> f(at(n));
    kernels::tables(isa).of<float>().sketch_normal({3, 5}, 0, n, 1.0, f.data());
    double absolute = 0.0;
    for (Index i = 0; i < n; i += 2) {
      const philox::Block b = philox::bits(3, 5, i / 4);
      const std::uint32_t u = b[i % 4 == 0 ? 0 : 2], v = b[i % 4 == 0 ? 1 : 3];
      const double quarter = static_cast<double>(static_cast<std::int32_t>(v << 2)) * 0x1p-32;
      long double c, s;
      polar((static_cast<double>(u >> 1) + 0.5) * 0x1p-31, 0.25 * (4.0 + (v >> 30) + quarter), c,
            s);
      absolute = std::max({absolute, std::abs(static_cast<double>(f[at(i)] - c)),
                           std::abs(static_cast<double>(f[at(i + 1)] - s))});
    }
    // The uniform number is rounded to 24 bits before its logarithm is taken.
    CHECK(absolute <= 1e-4);
  }
}

TEST_CASE("normal numbers of double precision use all its digits") {
  const Index n = 100000;
  std::vector<double> z(at(n));
  kernels::tables(kernels::default_isa()).of<double>().sketch_normal({1, 0}, 0, n, 1, z.data());
  const auto is_float = [](double x) { return static_cast<double>(static_cast<float>(x)) == x; };
  CHECK(std::count_if(z.begin(), z.end(), is_float) <= 1);
  // Every bit of the fraction is set in half of them.
  for (int bit = 0; bit < 40; ++bit) {
    const auto set = std::count_if(z.begin(), z.end(), [bit](double x) {
      return (std::bit_cast<std::uint64_t>(x) >> bit & 1) != 0;
    });
    CHECK(std::abs(static_cast<double>(set) - 0.5 * static_cast<double>(n)) <
          5 * 0.5 * std::sqrt(static_cast<double>(n)));
  }
}

TEST_CASE("indices stay below n, are uniform, and reach the odd ones of a large n") {
  CHECK(philox::multiply_high(~std::uint64_t{0}, ~std::uint64_t{0}) == ~std::uint64_t{0} - 1);
  CHECK(philox::multiply_high(0x123456789abcdef0u, 0xfedcba9876543210u) == 0x121fa00ad77d7422u);
  const Index large = std::numeric_limits<Index>::max();
  for (const Index n : {Index{1}, Index{2}, Index{65535}, Index{1} << 16}) {
    CHECK(philox::index(~std::uint32_t{0}, n) == n - 1);
    CHECK(philox::index(std::uint32_t{0}, n) == 0);
  }
  for (const Index n : {Index{1}, Index{3}, Index{1} << 40, (Index{1} << 53) + 1, large}) {
    CHECK(philox::index(~std::uint64_t{0}, n) == n - 1);
    CHECK(philox::index(std::uint64_t{0}, n) == 0);
  }
  for (const Index n : {Index{10}, Index{65536}, (Index{1} << 20) + 7, Index{1} << 40, large}) {
    const Index count = 20000;
    std::vector<double> places(at(count));
    Index odd = 0, last = 0;
    for (Index i = 0; i < count; ++i) {
      const Index k = philox::index(4, 2, i, n);
      CHECK_UNARY(0 <= k && k < n);
      odd += k % 2;
      last += k == n - 1;
      // Spread evenly over the index's cell, a continuous uniform number.
      const double within = 0.5 * (philox::uniform2(4, 3, i).first + 1);
      places[at(i)] = (static_cast<double>(k) + within) / static_cast<double>(n);
    }
    CHECK(kolmogorov(places, [](double x) { return x; }) < kKolmogorov);
    CHECK(std::abs(static_cast<double>(odd) - 0.5 * count) < 5 * 0.5 * std::sqrt(count));
    if (n == 10) CHECK(std::abs(static_cast<double>(last) - 2000) < 5 * std::sqrt(20000 * 0.09));
  }
}

TEST_CASE("signs are balanced, and independent of their neighbours") {
  const Index n = 100000;
  std::vector<double> s(at(n)), next(at(n));
  const auto& k = kernels::tables(kernels::default_isa()).of<double>();
  k.sketch_signs({6, 0}, 0, n, 1, s.data());
  k.sketch_signs({6, 1}, 0, n, 1, next.data());
  double sum = 0, lag1 = 0, lag128 = 0, streams = 0;
  for (Index i = 0; i < n; ++i) {
    CHECK_UNARY(s[at(i)] == philox::sign(6, 0, i));
    sum += s[at(i)];
    streams += s[at(i)] * next[at(i)];
    if (i >= 1) lag1 += s[at(i)] * s[at(i - 1)];
    if (i >= 128) lag128 += s[at(i)] * s[at(i - 128)];
  }
  const double five = 5 * std::sqrt(static_cast<double>(n));
  CHECK(std::abs(sum) < five);
  CHECK(std::abs(lag1) < five);
  CHECK(std::abs(lag128) < five);
  CHECK(std::abs(streams) < five);
}

}  // namespace
}  // namespace ritz::testing
