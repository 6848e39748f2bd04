// Quadratic forms, spectral sums and spectral densities on host memory with type-erased operators.
#pragma once

#include "ritz/function/quadrature.hpp"
#include "ritz/function/spectral_density.hpp"
#include "ritz/function/spectral_sum.hpp"
#include "ritz/op/operator_ref.hpp"
#include "ritz/space/host.hpp"

namespace ritz::compiled {

template <Field T>
RITZ_API QuadratureOutcome<T> quadratic_form(HostSpace<T>& space, const OperatorRef<T>& A,
                                             VectorView<const T> u, const Integrand& f,
                                             QuadratureWorkspace<HostSpace<T>>& ws,
                                             const QuadratureOptions& opt, const Monitor& monitor);

template <Field T>
RITZ_API QuadratureOutcome<T> bilinear_form(HostSpace<T>& space, const OperatorRef<T>& A,
                                            VectorView<const T> u, VectorView<const T> v,
                                            const Integrand& f,
                                            QuadratureWorkspace<HostSpace<T>>& ws,
                                            const QuadratureOptions& opt, const Monitor& monitor);

template <Field T>
RITZ_API SpectralSumOutcome spectral_sum(HostSpace<T>& space, const OperatorRef<T>& A,
                                         const Integrand& f, SpectralSumWorkspace<HostSpace<T>>& ws,
                                         const SpectralSumOptions& opt, const Monitor& monitor,
                                         Checkpoint checkpoint);

template <Field T>
RITZ_API DensityOutcome spectral_measures(HostSpace<T>& space, const OperatorRef<T>& A,
                                          std::vector<Jacobi>& measures,
                                          MeasuresWorkspace<HostSpace<T>>& ws,
                                          const DensityOptions& opt, const Monitor& monitor,
                                          Checkpoint checkpoint);

template <Field T>
RITZ_API DensityOutcome chebyshev_moments(HostSpace<T>& space, const OperatorRef<T>& A, double low,
                                          double high, std::vector<double>& moments,
                                          MomentsWorkspace<HostSpace<T>>& ws,
                                          const DensityOptions& opt, const Monitor& monitor,
                                          Checkpoint checkpoint);

}  // namespace ritz::compiled
