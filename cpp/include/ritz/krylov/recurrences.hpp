// Every recurrence by its number: what a device can step.
#pragma once

#include "ritz/krylov/arnoldi_recurrence.hpp"
#include "ritz/krylov/bicgstab_recurrence.hpp"
#include "ritz/krylov/cgls_recurrence.hpp"
#include "ritz/krylov/cr_recurrence.hpp"
#include "ritz/krylov/craig_recurrence.hpp"
#include "ritz/krylov/fcg_recurrence.hpp"
#include "ritz/krylov/lsmr_recurrence.hpp"
#include "ritz/krylov/lsqr_recurrence.hpp"
#include "ritz/krylov/minres_qlp_recurrence.hpp"
#include "ritz/krylov/minres_recurrence.hpp"
#include "ritz/krylov/symmlq_recurrence.hpp"

namespace ritz {

/// f.operator()<R>() for the recurrence of this number; false if there is none.
template <class F>
constexpr bool visit_recurrence(std::int32_t number, F&& f) {
  const auto among = [&]<class... R>() {
    return ((R::kNumber == number && (f.template operator()<R>(), true)) || ...);
  };
  return among
      .template operator()<MinresRecurrence, SymmlqRecurrence, MinresQlpRecurrence, LsmrRecurrence,
                           LsqrRecurrence, ArnoldiRecurrence, CrRecurrence, CraigRecurrence,
                           CglsRecurrence, BicgstabRecurrence, FcgRecurrence, FcgDirection>();
}

}  // namespace ritz
