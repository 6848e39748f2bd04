#include "kernels.cuh"

namespace ritz::device {

template bool plan<double>(const Call&, const Resources&, std::vector<Launch>&);

}  // namespace ritz::device
