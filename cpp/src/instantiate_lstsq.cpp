#include "ritz/compiled/lstsq.hpp"

namespace ritz::compiled {}  // namespace ritz::compiled
