#include "ritz/compiled/quadrature.hpp"

namespace ritz::compiled {

template <Field T>
QuadratureOutcome<T> quadratic_form(HostSpace<T>& space, const OperatorRef<T>& A,
                                    VectorView<const T> u, const Integrand& f,
                                    QuadratureWorkspace<HostSpace<T>>& ws,
                                    const QuadratureOptions& opt, const Monitor& monitor) {
  return ritz::quadratic_form(space, A, u, f, ws, opt, monitor);
}

template <Field T>
QuadratureOutcome<T> bilinear_form(HostSpace<T>& space, const OperatorRef<T>& A,
                                   VectorView<const T> u, VectorView<const T> v, const Integrand& f,
                                   QuadratureWorkspace<HostSpace<T>>& ws,
                                   const QuadratureOptions& opt, const Monitor& monitor) {
  return ritz::bilinear_form(space, A, u, v, f, ws, opt, monitor);
}

template <Field T>
SpectralSumOutcome spectral_sum(HostSpace<T>& space, const OperatorRef<T>& A, const Integrand& f,
                                SpectralSumWorkspace<HostSpace<T>>& ws,
                                const SpectralSumOptions& opt, const Monitor& monitor,
                                Checkpoint checkpoint) {
  return ritz::spectral_sum(space, A, f, ws, opt, monitor, std::move(checkpoint));
}

template <Field T>
DensityOutcome spectral_measures(HostSpace<T>& space, const OperatorRef<T>& A,
                                 std::vector<Jacobi>& measures, MeasuresWorkspace<HostSpace<T>>& ws,
                                 const DensityOptions& opt, const Monitor& monitor,
                                 Checkpoint checkpoint) {
  return ritz::spectral_measures(space, A, measures, ws, opt, monitor, std::move(checkpoint));
}

template <Field T>
DensityOutcome chebyshev_moments(HostSpace<T>& space, const OperatorRef<T>& A, double low,
                                 double high, std::vector<double>& moments,
                                 MomentsWorkspace<HostSpace<T>>& ws, const DensityOptions& opt,
                                 const Monitor& monitor, Checkpoint checkpoint) {
  return ritz::chebyshev_moments(space, A, low, high, moments, ws, opt, monitor,
                                 std::move(checkpoint));
}

template QuadratureOutcome<float> quadratic_form<float>(HostSpace<float>&,
                                                        const OperatorRef<float>&,
                                                        VectorView<const float>, const Integrand&,
                                                        QuadratureWorkspace<HostSpace<float>>&,
                                                        const QuadratureOptions&, const Monitor&);
template QuadratureOutcome<float> bilinear_form<float>(HostSpace<float>&, const OperatorRef<float>&,
                                                       VectorView<const float>,
                                                       VectorView<const float>, const Integrand&,
                                                       QuadratureWorkspace<HostSpace<float>>&,
                                                       const QuadratureOptions&, const Monitor&);
template SpectralSumOutcome spectral_sum<float>(HostSpace<float>&, const OperatorRef<float>&,
                                                const Integrand&,
                                                SpectralSumWorkspace<HostSpace<float>>&,
                                                const SpectralSumOptions&, const Monitor&,
                                                Checkpoint);
template DensityOutcome spectral_measures<float>(HostSpace<float>&, const OperatorRef<float>&,
                                                 std::vector<Jacobi>&,
                                                 MeasuresWorkspace<HostSpace<float>>&,
                                                 const DensityOptions&, const Monitor&, Checkpoint);
template DensityOutcome chebyshev_moments<float>(HostSpace<float>&, const OperatorRef<float>&,
                                                 double, double, std::vector<double>&,
                                                 MomentsWorkspace<HostSpace<float>>&,
                                                 const DensityOptions&, const Monitor&, Checkpoint);

template QuadratureOutcome<double> quadratic_form<double>(
    HostSpace<double>&, const OperatorRef<double>&, VectorView<const double>, const Integrand&,
    QuadratureWorkspace<HostSpace<double>>&, const QuadratureOptions&, const Monitor&);
template QuadratureOutcome<double> bilinear_form<double>(HostSpace<double>&,
                                                         const OperatorRef<double>&,
                                                         VectorView<const double>,
                                                         VectorView<const double>, const Integrand&,
                                                         QuadratureWorkspace<HostSpace<double>>&,
                                                         const QuadratureOptions&, const Monitor&);
template SpectralSumOutcome spectral_sum<double>(HostSpace<double>&, const OperatorRef<double>&,
                                                 const Integrand&,
                                                 SpectralSumWorkspace<HostSpace<double>>&,
                                                 const SpectralSumOptions&, const Monitor&,
                                                 Checkpoint);
template DensityOutcome spectral_measures<double>(HostSpace<double>&, const OperatorRef<double>&,
                                                  std::vector<Jacobi>&,
                                                  MeasuresWorkspace<HostSpace<double>>&,
                                                  const DensityOptions&, const Monitor&,
                                                  Checkpoint);
template DensityOutcome chebyshev_moments<double>(HostSpace<double>&, const OperatorRef<double>&,
                                                  double, double, std::vector<double>&,
                                                  MomentsWorkspace<HostSpace<double>>&,
                                                  const DensityOptions&, const Monitor&,
                                                  Checkpoint);

template QuadratureOutcome<std::complex<float>> quadratic_form<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    VectorView<const std::complex<float>>, const Integrand&,
    QuadratureWorkspace<HostSpace<std::complex<float>>>&, const QuadratureOptions&, const Monitor&);
template QuadratureOutcome<std::complex<float>> bilinear_form<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&,
    VectorView<const std::complex<float>>, VectorView<const std::complex<float>>, const Integrand&,
    QuadratureWorkspace<HostSpace<std::complex<float>>>&, const QuadratureOptions&, const Monitor&);
template SpectralSumOutcome spectral_sum<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&, const Integrand&,
    SpectralSumWorkspace<HostSpace<std::complex<float>>>&, const SpectralSumOptions&,
    const Monitor&, Checkpoint);
template DensityOutcome spectral_measures<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&, std::vector<Jacobi>&,
    MeasuresWorkspace<HostSpace<std::complex<float>>>&, const DensityOptions&, const Monitor&,
    Checkpoint);
template DensityOutcome chebyshev_moments<std::complex<float>>(
    HostSpace<std::complex<float>>&, const OperatorRef<std::complex<float>>&, double, double,
    std::vector<double>&, MomentsWorkspace<HostSpace<std::complex<float>>>&, const DensityOptions&,
    const Monitor&, Checkpoint);

template QuadratureOutcome<std::complex<double>> quadratic_form<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    VectorView<const std::complex<double>>, const Integrand&,
    QuadratureWorkspace<HostSpace<std::complex<double>>>&, const QuadratureOptions&,
    const Monitor&);
template QuadratureOutcome<std::complex<double>> bilinear_form<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    VectorView<const std::complex<double>>, VectorView<const std::complex<double>>,
    const Integrand&, QuadratureWorkspace<HostSpace<std::complex<double>>>&,
    const QuadratureOptions&, const Monitor&);
template SpectralSumOutcome spectral_sum<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&, const Integrand&,
    SpectralSumWorkspace<HostSpace<std::complex<double>>>&, const SpectralSumOptions&,
    const Monitor&, Checkpoint);
template DensityOutcome spectral_measures<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&,
    std::vector<Jacobi>&, MeasuresWorkspace<HostSpace<std::complex<double>>>&,
    const DensityOptions&, const Monitor&, Checkpoint);
template DensityOutcome chebyshev_moments<std::complex<double>>(
    HostSpace<std::complex<double>>&, const OperatorRef<std::complex<double>>&, double, double,
    std::vector<double>&, MomentsWorkspace<HostSpace<std::complex<double>>>&, const DensityOptions&,
    const Monitor&, Checkpoint);

}  // namespace ritz::compiled
