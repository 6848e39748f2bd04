#include "instantiate_lowrank.hpp"

namespace ritz::compiled {

template struct LowRank<HostSpace<float>>;
template struct LowRank<HostSpace<double>>;
template struct LowRank<HostSpace<std::complex<float>>>;
template struct LowRank<HostSpace<std::complex<double>>>;

}  // namespace ritz::compiled
