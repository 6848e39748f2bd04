#include "instantiate_krylov.hpp"

namespace ritz::compiled {

using T = std::complex<float>;

template std::unique_ptr<AbstractStepper<T>> begin<CudaSpace<T>>(
    CudaSpace<T>&, const OperatorRef<T>&, const OptionalOperator<T>&, VectorView<const T>,
    VectorView<T>, const RequestOf<CudaSpace<T>, KrylovMethods>::Type&, const Monitor&);

}  // namespace ritz::compiled
