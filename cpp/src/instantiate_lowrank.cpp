#include "ritz/compiled/lowrank.hpp"

namespace ritz::compiled {}  // namespace ritz::compiled
