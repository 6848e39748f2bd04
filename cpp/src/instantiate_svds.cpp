#include "instantiate_svds.hpp"

namespace ritz::compiled {

template struct SingularValues<HostSpace<float>>;
template struct SingularValues<HostSpace<double>>;
template struct SingularValues<HostSpace<std::complex<float>>>;
template struct SingularValues<HostSpace<std::complex<double>>>;

}  // namespace ritz::compiled
