// Which of the compiled kernels this processor runs.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>

#include "kernel_levels.hpp"
#include "ritz/core/error.hpp"

namespace ritz::kernels {
namespace {

constexpr std::array kIsas = {Isa::base, Isa::v3, Isa::v4};

std::size_t supported_count() {
#if RITZ_LEVELS_ABOVE_BASE > 0
  static const std::size_t count = [] {
    __builtin_cpu_init();
    std::size_t levels = 1;
    if (__builtin_cpu_supports("x86-64-v3")) levels = __builtin_cpu_supports("x86-64-v4") ? 3 : 2;
    return std::min<std::size_t>(levels, 1 + RITZ_LEVELS_ABOVE_BASE);
  }();
  return count;
#else
  return 1;
#endif
}

Isa chosen() {
  const char* text = std::getenv("RITZ_ISA");
  if (text == nullptr || *text == '\0') return supported_isas().back();
  for (Isa isa : supported_isas()) {
    if (name(isa) == text) return isa;
  }
  std::string supported;
  for (Isa isa : supported_isas())
    supported += (supported.empty() ? "" : ", ") + std::string(name(isa));
  throw InvalidArgument("RITZ_ISA is \"" + std::string(text) + "\"; this processor supports " +
                        supported + ": set it to one of these or unset it");
}

}  // namespace

std::span<const Isa> supported_isas() { return std::span(kIsas).first(supported_count()); }

Isa default_isa() {
  static const Isa isa = chosen();
  return isa;
}

std::string_view name(Isa isa) {
  switch (isa) {
    case Isa::base:
      return "base";
    case Isa::v3:
      return "v3";
    case Isa::v4:
      return "v4";
  }
  return "unknown";
}

const Tables& tables(Isa isa) {
  if (static_cast<std::size_t>(isa) >= supported_count()) {
    throw InvalidArgument("isa is " + std::string(name(isa)) +
                          ", which this processor does not support; pass default_isa()");
  }
#if RITZ_LEVELS_ABOVE_BASE > 1
  if (isa == Isa::v4) return v4::tables;
#endif
#if RITZ_LEVELS_ABOVE_BASE > 0
  if (isa == Isa::v3) return v3::tables;
#endif
  return base::tables;
}

}  // namespace ritz::kernels
