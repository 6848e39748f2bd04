#include "instantiate_lobpcg.hpp"

namespace ritz::compiled {

template struct Lobpcg<CudaSpace<float>>;
template struct Lobpcg<CudaSpace<double>>;
template struct Lobpcg<CudaSpace<std::complex<float>>>;
template struct Lobpcg<CudaSpace<std::complex<double>>>;

}  // namespace ritz::compiled
