// The methods that solve A x = b or minimise ‖b − A x‖ one right-hand side at a time.
#pragma once

#include <tuple>

#include "ritz/krylov/bicgstab.hpp"
#include "ritz/krylov/bicgstabl.hpp"
#include "ritz/krylov/cg.hpp"
#include "ritz/krylov/cgls.hpp"
#include "ritz/krylov/cr.hpp"
#include "ritz/krylov/craig.hpp"
#include "ritz/krylov/fcg.hpp"
#include "ritz/krylov/fgmres.hpp"
#include "ritz/krylov/gcrodr.hpp"
#include "ritz/krylov/gmres.hpp"
#include "ritz/krylov/idrs.hpp"
#include "ritz/krylov/lsmr.hpp"
#include "ritz/krylov/lsqr.hpp"
#include "ritz/krylov/minres.hpp"
#include "ritz/krylov/minres_qlp.hpp"
#include "ritz/krylov/sgmres.hpp"
#include "ritz/krylov/symmlq.hpp"

namespace ritz {

/// What the library compiles and Python offers: a solver is added by adding it here.
using KrylovMethods = std::tuple<Cg, Lsmr, Lsqr, Cgls, Gmres, Fgmres, Bicgstab, Bicgstabl, Idrs,
                                 Gcrodr, Craig, Minres, MinresQlp, Symmlq, Cr, Fcg, Sgmres>;

}  // namespace ritz
