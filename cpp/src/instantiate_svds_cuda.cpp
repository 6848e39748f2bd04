#include "instantiate_svds.hpp"

namespace ritz::compiled {

template struct SingularValues<CudaSpace<float>>;
template struct SingularValues<CudaSpace<double>>;
template struct SingularValues<CudaSpace<std::complex<float>>>;
template struct SingularValues<CudaSpace<std::complex<double>>>;

}  // namespace ritz::compiled
