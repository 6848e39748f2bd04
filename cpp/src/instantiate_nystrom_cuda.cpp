#include "instantiate_nystrom.hpp"

namespace ritz::compiled {

template struct Nystrom<CudaSpace<float>>;
template struct Nystrom<CudaSpace<double>>;
template struct Nystrom<CudaSpace<std::complex<float>>>;
template struct Nystrom<CudaSpace<std::complex<double>>>;

}  // namespace ritz::compiled
