#include "instantiate_estimators.hpp"

namespace ritz::compiled {

template struct Estimators<HostSpace<float>>;
template struct Estimators<HostSpace<double>>;
template struct Estimators<HostSpace<std::complex<float>>>;
template struct Estimators<HostSpace<std::complex<double>>>;

}  // namespace ritz::compiled
