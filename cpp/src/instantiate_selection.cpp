#include "ritz/compiled/selection.hpp"

namespace ritz::compiled {}  // namespace ritz::compiled
