#include "instantiate_columns.hpp"

namespace ritz::compiled {

template struct Columns<CudaSpace<float>>;
template struct Columns<CudaSpace<double>>;
template struct Columns<CudaSpace<std::complex<float>>>;
template struct Columns<CudaSpace<std::complex<double>>>;

}  // namespace ritz::compiled
