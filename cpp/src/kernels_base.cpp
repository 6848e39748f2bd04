// The kernels for level base: vector registers of 16 bytes on x86-64 (SSE2).
#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernel_levels.hpp"
#include "ritz/sketch/philox.hpp"

namespace ritz::kernels::base {
constexpr int kVectorBytes = 16;
#include "kernels.inl"
}  // namespace ritz::kernels::base
