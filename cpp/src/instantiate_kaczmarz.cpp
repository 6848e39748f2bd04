#include "ritz/compiled/kaczmarz.hpp"

namespace ritz::compiled {}  // namespace ritz::compiled
