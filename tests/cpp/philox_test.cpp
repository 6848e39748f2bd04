// The random numbers against their published values, and as statistics.
#include <doctest/doctest.h>

#include <cmath>
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
    for (std::size_t c = cuts.size() - 1; c > 0; --c) {  // backwards
      const Index first = cuts[c - 1], count = cuts[c] - first;
      k.random_signs({9, 4}, first, count, signs.data() + first);
      k.random_uniform({9, 4}, first, count, uniforms.data() + first);
    }
    HostSpace<T> space(Comm{}, isa);
    space.random_signs({9, 4}, view(whole_signs));
    space.random_uniform({9, 4}, view(whole_uniforms));
    CHECK(signs == whole_signs);
    CHECK(uniforms == whole_uniforms);
    // A longer vector begins with the shorter one.
    std::vector<T> longer(at(n + 77));
    space.random_signs({9, 4}, view(longer));
    CHECK(std::equal(signs.begin(), signs.end(), longer.begin()));
    space.random_uniform({9, 4}, view(longer));
    CHECK(std::equal(uniforms.begin(), uniforms.end(), longer.begin()));
  }
}

}  // namespace
}  // namespace ritz::testing
