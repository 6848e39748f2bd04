#include "instantiate_funm.hpp"

namespace ritz::compiled {

template struct Functions<HostSpace<float>>;
template struct Functions<HostSpace<double>>;
template struct Functions<HostSpace<std::complex<float>>>;
template struct Functions<HostSpace<std::complex<double>>>;

}  // namespace ritz::compiled
