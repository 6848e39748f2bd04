#include "ritz/compiled/skeleton.hpp"

namespace ritz::compiled {}  // namespace ritz::compiled
