#include "instantiate_lobpcg.hpp"

namespace ritz::compiled {

template struct Lobpcg<HostSpace<float>>;
template struct Lobpcg<HostSpace<double>>;
template struct Lobpcg<HostSpace<std::complex<float>>>;
template struct Lobpcg<HostSpace<std::complex<double>>>;

}  // namespace ritz::compiled
