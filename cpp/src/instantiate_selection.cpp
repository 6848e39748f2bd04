#include "ritz/compiled/selection.hpp"

namespace ritz::compiled {

template <Field T>
Index leverage_scores(MatrixView<const T> A, double* scores, const selection::LeverageOptions& opt,
                      selection::Look look) {
  return selection::leverage_scores(A, scores, opt, look);
}

template <Field T>
selection::LewisOutcome lewis_weights(MatrixView<const T> A, double p, double* weights,
                                      const selection::LewisOptions& opt,
                                      const selection::Watch& watch) {
  return selection::lewis_weights(selection::orthonormal_basis(A, opt.rtol, watch.look), p, weights,
                                  opt, watch);
}

template <Field T>
selection::LewisOutcome sensitivities(MatrixView<const T> A, double p, double* bounds,
                                      const selection::LewisOptions& opt, selection::Look look) {
  return selection::sensitivities(A, p, bounds, opt, look);
}

template <Field T>
selection::DppOutcome projection_dpp(MatrixView<const T> V, const selection::DppOptions& opt,
                                     selection::Look look) {
  return selection::projection_dpp(V, opt, look);
}

template <Field T>
selection::VolumeOutcome volume_sampling(MatrixView<const T> A, const selection::VolumeOptions& opt,
                                         selection::Look look) {
  return selection::volume_sampling(A, opt, look);
}

template <Field T>
selection::MaxvolOutcome<WideOf<T>> maxvol(MatrixView<const T> A,
                                           const selection::MaxvolOptions& opt,
                                           const selection::Watch& watch) {
  return selection::maxvol(A, opt, watch);
}

template <Field T>
selection::MaxvolOutcome<WideOf<T>> maxvol_rectangular(MatrixView<const T> A,
                                                       const selection::RectangularOptions& opt,
                                                       const selection::Watch& watch) {
  return selection::maxvol_rectangular(A, opt, watch);
}

template <Field T>
selection::SubsetOutcome column_subset(MatrixView<const T> A, Index k,
                                       const selection::SubsetOptions& opt, selection::Look look) {
  return selection::column_subset(A, k, opt, look);
}

template <Field T>
selection::WeightedSolution weighted_lstsq(MatrixView<const T> A, MatrixView<const T> B,
                                           const double* weights, MatrixView<T> X, double rtol,
                                           selection::Look look) {
  return selection::weighted_lstsq(A, B, weights, X, rtol, look);
}

template Index leverage_scores<float>(MatrixView<const float>, double*,
                                      const selection::LeverageOptions&, selection::Look);
template selection::LewisOutcome lewis_weights<float>(MatrixView<const float>, double, double*,
                                                      const selection::LewisOptions&,
                                                      const selection::Watch&);
template selection::LewisOutcome sensitivities<float>(MatrixView<const float>, double, double*,
                                                      const selection::LewisOptions&,
                                                      selection::Look);
template selection::DppOutcome projection_dpp<float>(MatrixView<const float>,
                                                     const selection::DppOptions&, selection::Look);
template selection::VolumeOutcome volume_sampling<float>(MatrixView<const float>,
                                                         const selection::VolumeOptions&,
                                                         selection::Look);
template selection::MaxvolOutcome<double> maxvol<float>(MatrixView<const float>,
                                                        const selection::MaxvolOptions&,
                                                        const selection::Watch&);
template selection::MaxvolOutcome<double> maxvol_rectangular<float>(
    MatrixView<const float>, const selection::RectangularOptions&, const selection::Watch&);
template selection::SubsetOutcome column_subset<float>(MatrixView<const float>, Index,
                                                       const selection::SubsetOptions&,
                                                       selection::Look);
template selection::WeightedSolution weighted_lstsq<float>(MatrixView<const float>,
                                                           MatrixView<const float>, const double*,
                                                           MatrixView<float>, double,
                                                           selection::Look);

template Index leverage_scores<double>(MatrixView<const double>, double*,
                                       const selection::LeverageOptions&, selection::Look);
template selection::LewisOutcome lewis_weights<double>(MatrixView<const double>, double, double*,
                                                       const selection::LewisOptions&,
                                                       const selection::Watch&);
template selection::LewisOutcome sensitivities<double>(MatrixView<const double>, double, double*,
                                                       const selection::LewisOptions&,
                                                       selection::Look);
template selection::DppOutcome projection_dpp<double>(MatrixView<const double>,
                                                      const selection::DppOptions&,
                                                      selection::Look);
template selection::VolumeOutcome volume_sampling<double>(MatrixView<const double>,
                                                          const selection::VolumeOptions&,
                                                          selection::Look);
template selection::MaxvolOutcome<double> maxvol<double>(MatrixView<const double>,
                                                         const selection::MaxvolOptions&,
                                                         const selection::Watch&);
template selection::MaxvolOutcome<double> maxvol_rectangular<double>(
    MatrixView<const double>, const selection::RectangularOptions&, const selection::Watch&);
template selection::SubsetOutcome column_subset<double>(MatrixView<const double>, Index,
                                                        const selection::SubsetOptions&,
                                                        selection::Look);
template selection::WeightedSolution weighted_lstsq<double>(MatrixView<const double>,
                                                            MatrixView<const double>, const double*,
                                                            MatrixView<double>, double,
                                                            selection::Look);

template Index leverage_scores<std::complex<float>>(MatrixView<const std::complex<float>>, double*,
                                                    const selection::LeverageOptions&,
                                                    selection::Look);
template selection::LewisOutcome lewis_weights<std::complex<float>>(
    MatrixView<const std::complex<float>>, double, double*, const selection::LewisOptions&,
    const selection::Watch&);
template selection::LewisOutcome sensitivities<std::complex<float>>(
    MatrixView<const std::complex<float>>, double, double*, const selection::LewisOptions&,
    selection::Look);
template selection::DppOutcome projection_dpp<std::complex<float>>(
    MatrixView<const std::complex<float>>, const selection::DppOptions&, selection::Look);
template selection::VolumeOutcome volume_sampling<std::complex<float>>(
    MatrixView<const std::complex<float>>, const selection::VolumeOptions&, selection::Look);
template selection::MaxvolOutcome<std::complex<double>> maxvol<std::complex<float>>(
    MatrixView<const std::complex<float>>, const selection::MaxvolOptions&,
    const selection::Watch&);
template selection::MaxvolOutcome<std::complex<double>> maxvol_rectangular<std::complex<float>>(
    MatrixView<const std::complex<float>>, const selection::RectangularOptions&,
    const selection::Watch&);
template selection::SubsetOutcome column_subset<std::complex<float>>(
    MatrixView<const std::complex<float>>, Index, const selection::SubsetOptions&, selection::Look);
template selection::WeightedSolution weighted_lstsq<std::complex<float>>(
    MatrixView<const std::complex<float>>, MatrixView<const std::complex<float>>, const double*,
    MatrixView<std::complex<float>>, double, selection::Look);

template Index leverage_scores<std::complex<double>>(MatrixView<const std::complex<double>>,
                                                     double*, const selection::LeverageOptions&,
                                                     selection::Look);
template selection::LewisOutcome lewis_weights<std::complex<double>>(
    MatrixView<const std::complex<double>>, double, double*, const selection::LewisOptions&,
    const selection::Watch&);
template selection::LewisOutcome sensitivities<std::complex<double>>(
    MatrixView<const std::complex<double>>, double, double*, const selection::LewisOptions&,
    selection::Look);
template selection::DppOutcome projection_dpp<std::complex<double>>(
    MatrixView<const std::complex<double>>, const selection::DppOptions&, selection::Look);
template selection::VolumeOutcome volume_sampling<std::complex<double>>(
    MatrixView<const std::complex<double>>, const selection::VolumeOptions&, selection::Look);
template selection::MaxvolOutcome<std::complex<double>> maxvol<std::complex<double>>(
    MatrixView<const std::complex<double>>, const selection::MaxvolOptions&,
    const selection::Watch&);
template selection::MaxvolOutcome<std::complex<double>> maxvol_rectangular<std::complex<double>>(
    MatrixView<const std::complex<double>>, const selection::RectangularOptions&,
    const selection::Watch&);
template selection::SubsetOutcome column_subset<std::complex<double>>(
    MatrixView<const std::complex<double>>, Index, const selection::SubsetOptions&,
    selection::Look);
template selection::WeightedSolution weighted_lstsq<std::complex<double>>(
    MatrixView<const std::complex<double>>, MatrixView<const std::complex<double>>, const double*,
    MatrixView<std::complex<double>>, double, selection::Look);

}  // namespace ritz::compiled
