// The methods that solve A x = b or minimise ‖b − A x‖ one right-hand side at a time.
#pragma once

#include <tuple>

#include "ritz/krylov/cg.hpp"
#include "ritz/krylov/lsmr.hpp"

namespace ritz {

/// What the library compiles and Python offers: a solver is added by adding it here.
using KrylovMethods = std::tuple<Cg, Lsmr>;

}  // namespace ritz
