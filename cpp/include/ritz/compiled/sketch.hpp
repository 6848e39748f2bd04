// The sketches of every kind, made for type-erased use.
#pragma once

#include "ritz/sketch/sketch.hpp"

namespace ritz::compiled {}  // namespace ritz::compiled
