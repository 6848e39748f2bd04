#pragma once

#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {}  // namespace ritz::compiled
