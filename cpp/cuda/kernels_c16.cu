#include "kernels.cuh"

namespace ritz::device {

template bool plan<Complex<double>>(const Call&, const Resources&, std::vector<Launch>&);

}  // namespace ritz::device
