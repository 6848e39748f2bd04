#include "ritz/compiled/sketch.hpp"

namespace ritz::compiled {}  // namespace ritz::compiled
