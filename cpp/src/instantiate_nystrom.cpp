#include "instantiate_nystrom.hpp"

namespace ritz::compiled {

template struct Nystrom<HostSpace<float>>;
template struct Nystrom<HostSpace<double>>;
template struct Nystrom<HostSpace<std::complex<float>>>;
template struct Nystrom<HostSpace<std::complex<double>>>;

}  // namespace ritz::compiled
