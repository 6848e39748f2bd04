#include "instantiate_columns.hpp"

namespace ritz::compiled {

template struct Columns<HostSpace<float>>;
template struct Columns<HostSpace<double>>;
template struct Columns<HostSpace<std::complex<float>>>;
template struct Columns<HostSpace<std::complex<double>>>;

}  // namespace ritz::compiled
