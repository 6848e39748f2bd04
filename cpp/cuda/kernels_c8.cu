#include "kernels.cuh"

namespace ritz::device {

template bool plan<Complex<float>>(const Call&, const Resources&, std::vector<Launch>&);

}  // namespace ritz::device
