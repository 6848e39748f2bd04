// Row and column selection for the element types of the library. Those without iterations take the
// look of selection/watch.hpp, the others all of a `Watch`.
#pragma once

#include "ritz/selection/column_subset.hpp"
#include "ritz/selection/maxvol.hpp"
#include "ritz/selection/sensitivities.hpp"
#include "ritz/selection/volume.hpp"
#include "ritz/selection/weighted_lstsq.hpp"

namespace ritz::compiled {

template <Field T>
RITZ_API Index leverage_scores(MatrixView<const T> A, double* scores,
                               const selection::LeverageOptions& opt, selection::Look look = {});

template <Field T>
RITZ_API selection::LewisOutcome lewis_weights(MatrixView<const T> A, double p, double* weights,
                                               const selection::LewisOptions& opt,
                                               const selection::Watch& watch = {});

template <Field T>
RITZ_API selection::LewisOutcome sensitivities(MatrixView<const T> A, double p, double* bounds,
                                               const selection::LewisOptions& opt,
                                               selection::Look look = {});

template <Field T>
RITZ_API selection::DppOutcome projection_dpp(MatrixView<const T> V,
                                              const selection::DppOptions& opt,
                                              selection::Look look = {});

template <Field T>
RITZ_API selection::VolumeOutcome volume_sampling(MatrixView<const T> A,
                                                  const selection::VolumeOptions& opt,
                                                  selection::Look look = {});

template <Field T>
RITZ_API selection::MaxvolOutcome<WideOf<T>> maxvol(MatrixView<const T> A,
                                                    const selection::MaxvolOptions& opt,
                                                    const selection::Watch& watch = {});

template <Field T>
RITZ_API selection::MaxvolOutcome<WideOf<T>> maxvol_rectangular(
    MatrixView<const T> A, const selection::RectangularOptions& opt,
    const selection::Watch& watch = {});

template <Field T>
RITZ_API selection::SubsetOutcome column_subset(MatrixView<const T> A, Index k,
                                                const selection::SubsetOptions& opt,
                                                selection::Look look = {});

template <Field T>
RITZ_API selection::WeightedSolution weighted_lstsq(MatrixView<const T> A, MatrixView<const T> B,
                                                    const double* weights, MatrixView<T> X,
                                                    double rtol, selection::Look look = {});

}  // namespace ritz::compiled
