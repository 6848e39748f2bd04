// The kernels for level v4: vector registers of 64 bytes on x86-64 (AVX-512).
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernel_levels.hpp"
#include "ritz/sketch/philox.hpp"

namespace ritz::kernels::v4 {
constexpr int kVectorBytes = 64;
#include "kernels.inl"
}  // namespace ritz::kernels::v4
