#include "instantiate_krylov.hpp"

namespace ritz::compiled {

using T = std::complex<double>;

template std::unique_ptr<AbstractStepper<T>> begin<HostSpace<T>>(
    HostSpace<T>&, const OperatorRef<T>&, const OptionalOperator<T>&, VectorView<const T>,
    VectorView<T>, const RequestOf<HostSpace<T>, KrylovMethods>::Type&, const Monitor&);

}  // namespace ritz::compiled
