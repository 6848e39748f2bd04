// The kernels for level v3: vector registers of 32 bytes on x86-64 (AVX2).
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernel_levels.hpp"
#include "ritz/sketch/philox.hpp"

namespace ritz::kernels::v3 {
constexpr int kVectorBytes = 32;
#include "kernels.inl"
}  // namespace ritz::kernels::v3
