#include "ritz/compiled/nystrom.hpp"

namespace ritz::compiled {}  // namespace ritz::compiled
