#include "ritz/compiled/skeleton.hpp"

namespace ritz::compiled {

template <Field T>
InterpolativeOutcome interpolative(HostSpace<T>& space, SkeletonSource<T>& source,
                                   Interpolative<T>& to, const InterpolativeOptions& opt,
                                   const Monitor& monitor, bool with_columns) {
  return ritz::interpolative(space, source, to, opt, monitor, with_columns);
}

template <Field T>
InterpolativeOutcome cur(HostSpace<T>& space, SkeletonSource<T>& source, Cur<T>& to,
                         const CurOptions& opt, const Monitor& monitor) {
  return ritz::cur(space, source, to, opt, monitor);
}

template <Field T>
CqrrptOutcome cqrrpt(MatrixView<const T> A, BlockView<T> Q, MatrixView<T> R, std::span<Index> order,
                     const CqrrptOptions& opt) {
  return ritz::cqrrpt(A, Q, R, order, opt);
}

template InterpolativeOutcome interpolative<float>(HostSpace<float>&, SkeletonSource<float>&,
                                                   Interpolative<float>&,
                                                   const InterpolativeOptions&, const Monitor&,
                                                   bool);
template InterpolativeOutcome cur<float>(HostSpace<float>&, SkeletonSource<float>&, Cur<float>&,
                                         const CurOptions&, const Monitor&);
template CqrrptOutcome cqrrpt<float>(MatrixView<const float>, BlockView<float>, MatrixView<float>,
                                     std::span<Index>, const CqrrptOptions&);

template InterpolativeOutcome interpolative<double>(HostSpace<double>&, SkeletonSource<double>&,
                                                    Interpolative<double>&,
                                                    const InterpolativeOptions&, const Monitor&,
                                                    bool);
template InterpolativeOutcome cur<double>(HostSpace<double>&, SkeletonSource<double>&, Cur<double>&,
                                          const CurOptions&, const Monitor&);
template CqrrptOutcome cqrrpt<double>(MatrixView<const double>, BlockView<double>,
                                      MatrixView<double>, std::span<Index>, const CqrrptOptions&);

template InterpolativeOutcome interpolative<std::complex<float>>(
    HostSpace<std::complex<float>>&, SkeletonSource<std::complex<float>>&,
    Interpolative<std::complex<float>>&, const InterpolativeOptions&, const Monitor&, bool);
template InterpolativeOutcome cur<std::complex<float>>(HostSpace<std::complex<float>>&,
                                                       SkeletonSource<std::complex<float>>&,
                                                       Cur<std::complex<float>>&, const CurOptions&,
                                                       const Monitor&);
template CqrrptOutcome cqrrpt<std::complex<float>>(MatrixView<const std::complex<float>>,
                                                   BlockView<std::complex<float>>,
                                                   MatrixView<std::complex<float>>,
                                                   std::span<Index>, const CqrrptOptions&);

template InterpolativeOutcome interpolative<std::complex<double>>(
    HostSpace<std::complex<double>>&, SkeletonSource<std::complex<double>>&,
    Interpolative<std::complex<double>>&, const InterpolativeOptions&, const Monitor&, bool);
template InterpolativeOutcome cur<std::complex<double>>(HostSpace<std::complex<double>>&,
                                                        SkeletonSource<std::complex<double>>&,
                                                        Cur<std::complex<double>>&,
                                                        const CurOptions&, const Monitor&);
template CqrrptOutcome cqrrpt<std::complex<double>>(MatrixView<const std::complex<double>>,
                                                    BlockView<std::complex<double>>,
                                                    MatrixView<std::complex<double>>,
                                                    std::span<Index>, const CqrrptOptions&);

}  // namespace ritz::compiled
