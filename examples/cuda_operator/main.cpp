// A solve that stays on a device: the operator is a kernel of this program, the vectors are in the
// device's memory, and the host reads one number every ten iterations.
#include <cstdio>
#include <vector>

#include "ritz/krylov/cg.hpp"
#include "ritz/op/recorded.hpp"
#include "ritz/space/cuda.hpp"
#include "stencil.hpp"

using ritz::Index;
using Space = ritz::CudaSpace<double>;

/// Anything with rows, cols and apply is an operator. `stream()` hands over what ritz has queued so
/// far, so that a kernel launched there comes after it.
struct Laplacian {
  Space space;
  int side;

  Index rows() const { return Index{side} * side; }
  Index cols() const { return rows(); }
  void apply(ritz::VectorView<const double> u, ritz::VectorView<double> y) const {
    apply_laplacian(side, u.data, y.data, space.queue().stream());
  }
};

int main() try {
  Space space(0);  // device 0, its default stream
  // Recorded: the kernel becomes a part of the graph that an iteration is replayed as.
  const ritz::Recorded<double, Laplacian> A(space, {space, 512});
  const Index n = A.rows();

  const auto memory = space.allocate(2 * static_cast<std::size_t>(n) * sizeof(double));
  const ritz::VectorView<double> b{static_cast<double*>(memory.get()), n}, x{b.data + n, n};
  space.fill(1.0, b);

  ritz::CgWorkspace<Space> workspace;
  const auto solved = ritz::cg(space, A, b, x, workspace, {{.rtol = 1e-8}});
  double middle = 0.0;
  space.queue().download(x.data + n / 2, &middle, sizeof(middle));
  std::printf("cg: %s\n    u(middle) = %.6f, host waited %lld times\n", message(solved).c_str(),
              middle, static_cast<long long>(space.queue().waits()));
  return solved.status == ritz::Status::converged ? 0 : 1;
} catch (const ritz::DeviceUnavailable& e) {
  std::printf("no device: %s\n", e.what());
  return 0;
}
