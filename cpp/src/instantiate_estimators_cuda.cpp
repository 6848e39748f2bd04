#include "instantiate_estimators.hpp"

namespace ritz::compiled {

template struct Estimators<CudaSpace<float>>;
template struct Estimators<CudaSpace<double>>;
template struct Estimators<CudaSpace<std::complex<float>>>;
template struct Estimators<CudaSpace<std::complex<double>>>;

}  // namespace ritz::compiled
