#include "ritz/compiled/newton.hpp"

namespace ritz::compiled {

template <RealField T>
LevenbergMarquardtOutcome levenberg_marquardt(HostSpace<T>& space, AbstractModel<T>& model,
                                              AbstractLoss<T>* loss, VectorView<T> x,
                                              LevenbergMarquardtWorkspace<HostSpace<T>>& ws,
                                              const LevenbergMarquardtOptions& opt,
                                              const Monitor& monitor) {
  if (loss == nullptr) return ritz::levenberg_marquardt(space, model, x, ws, opt, monitor);
  return ritz::levenberg_marquardt(space, model, x, ws, opt, monitor, LossRef<T>{loss});
}

template LevenbergMarquardtOutcome levenberg_marquardt<float>(
    HostSpace<float>&, AbstractModel<float>&, AbstractLoss<float>*, VectorView<float>,
    LevenbergMarquardtWorkspace<HostSpace<float>>&, const LevenbergMarquardtOptions&,
    const Monitor&);
template LevenbergMarquardtOutcome levenberg_marquardt<double>(
    HostSpace<double>&, AbstractModel<double>&, AbstractLoss<double>*, VectorView<double>,
    LevenbergMarquardtWorkspace<HostSpace<double>>&, const LevenbergMarquardtOptions&,
    const Monitor&);

}  // namespace ritz::compiled
