#include "instantiate_funm.hpp"

namespace ritz::compiled {

template struct Functions<CudaSpace<float>>;
template struct Functions<CudaSpace<double>>;
template struct Functions<CudaSpace<std::complex<float>>>;
template struct Functions<CudaSpace<std::complex<double>>>;

}  // namespace ritz::compiled
