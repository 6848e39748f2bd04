#include "kernels.cuh"

namespace ritz::device {

template bool plan<float>(const Call&, const Resources&, std::vector<Launch>&);

}  // namespace ritz::device
