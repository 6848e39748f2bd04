// The skeleton decompositions on host memory.
#pragma once

#include "ritz/lowrank/cqrrpt.hpp"
#include "ritz/lowrank/cur.hpp"

namespace ritz::compiled {

template <Field T>
RITZ_API InterpolativeOutcome interpolative(HostSpace<T>& space, SkeletonSource<T>& source,
                                            Interpolative<T>& to, const InterpolativeOptions& opt,
                                            const Monitor& monitor, bool with_columns);

template <Field T>
RITZ_API InterpolativeOutcome cur(HostSpace<T>& space, SkeletonSource<T>& source, Cur<T>& to,
                                  const CurOptions& opt, const Monitor& monitor);

template <Field T>
RITZ_API CqrrptOutcome cqrrpt(MatrixView<const T> A, BlockView<T> Q, MatrixView<T> R,
                              std::span<Index> order, const CqrrptOptions& opt);

}  // namespace ritz::compiled
