#include "instantiate_lowrank.hpp"

namespace ritz::compiled {

template struct LowRank<CudaSpace<float>>;
template struct LowRank<CudaSpace<double>>;
template struct LowRank<CudaSpace<std::complex<float>>>;
template struct LowRank<CudaSpace<std::complex<double>>>;

}  // namespace ritz::compiled
