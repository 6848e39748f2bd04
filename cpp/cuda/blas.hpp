// Products of blocks by cuBLAS, where a process has it or finds it: it is opened at run time, and
// what it is asked for is declared here.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "elementwise.hpp"

namespace ritz::device {

/// The functions of the library, under the names that it exports.
struct BlasLibrary {
  struct Context;
  enum class Status : int { success = 0, out_of_memory = 3 };
  enum class Operation : int { none = 0, transpose = 1, adjoint = 2 };
  template <class E>
  using Gemm = Status (*)(Context*, Operation, Operation, Index m, Index n, Index k, const E* alpha,
                          const E* A, Index lda, const E* B, Index ldb, const E* beta, E* C,
                          Index ldc);

  Status (*create)(Context**);
  Status (*destroy)(Context*);
  Status (*set_stream)(Context*, void* stream);
  Status (*set_workspace)(Context*, void* memory, std::size_t bytes);
  Gemm<double> dgemm;
  Gemm<Complex<double>> zgemm;

  /// The first of these libraries that the process has loaded already, or else the first that there
  /// is; it stays loaded.
  static std::optional<BlasLibrary> find(std::span<const char* const> names) {
    for (const int loaded : {RTLD_NOLOAD, 0}) {
      for (const char* name : names) {
        void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL | loaded);
        if (library == nullptr) continue;
        BlasLibrary found{};
        const auto has = [&]<class F>(F*& to, const char* function) {
          to = reinterpret_cast<F*>(dlsym(library, function));
          return to != nullptr;
        };
        if (has(found.create, "cublasCreate_v2") && has(found.destroy, "cublasDestroy_v2") &&
            has(found.set_stream, "cublasSetStream_v2") &&
            has(found.set_workspace, "cublasSetWorkspace_v2") &&
            has(found.dgemm, "cublasDgemm_v2_64") && has(found.zgemm, "cublasZgemm_v2_64")) {
          return found;
        }
        dlclose(library);
      }
    }
    return std::nullopt;
  }
};

/// Products on one stream.
class Blas {
 public:
  using Status = BlasLibrary::Status;

  /// Null if it does not start. The workspace must outlive it: with one of its own, and without
  /// atomics, which is the library's default, the same product gives the same bits every time.
  static std::unique_ptr<Blas> start(const BlasLibrary& library, void* stream, void* workspace,
                                     std::size_t bytes) {
    BlasLibrary::Context* context = nullptr;
    if (library.create(&context) != Status::success) return nullptr;
    std::unique_ptr<Blas> blas(new Blas(library, context));
    // In this order: setting the stream takes the workspace away.
    const bool ready = library.set_stream(context, stream) == Status::success &&
                       library.set_workspace(context, workspace, bytes) == Status::success;
    return ready ? std::move(blas) : nullptr;
  }
  ~Blas() { library_.destroy(context_); }
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  /// Whether a call is a product that it makes, and faster than the kernels. These read one block
  /// once for every panel of the other: with eight columns on both sides already half as much again
  /// as they must, while the tiles of a smaller product would be mostly empty. Sums in single
  /// precision are not exact enough, and nothing there looks at a guard.
  static bool takes(const Call& call) {
    constexpr Index kFewest = 8;
    return (call.kernel == Kernel::project_block || call.kernel == Kernel::subtract_block) &&
           (call.element == Element::f8 || call.element == Element::c16) &&
           call.guard.x == nullptr && call.n > 0 && call.cols >= kFewest && call.cols2 >= kFewest;
  }

  /// Queues a call that it takes.
  Status multiply(const Call& call) const {
    return call.element == Element::f8 ? multiply(library_.dgemm, call)
                                       : multiply(library_.zgemm, call);
  }

 private:
  using Operation = BlasLibrary::Operation;

  Blas(const BlasLibrary& library, BlasLibrary::Context* context)
      : library_(library), context_(context) {}

  template <class E>
  Status multiply(BlasLibrary::Gemm<E> gemm, const Call& call) const {
    // As aligned as the library's own complex numbers.
    alignas(16) const E one(1.0), zero(0.0), minus(-1.0);
    const E* V = static_cast<const E*>(call.v[0]);
    E* W = static_cast<E*>(call.v[1]);
    if (call.kernel == Kernel::project_block) {
      return gemm(context_, Operation::adjoint, Operation::none, call.cols, call.cols2, call.n,
                  &one, V, call.ld, W, call.ld2, &zero, reinterpret_cast<E*>(call.out[0]),
                  call.cols);
    }
    return gemm(context_, Operation::none, Operation::none, call.n, call.cols2, call.cols, &minus,
                V, call.ld, reinterpret_cast<const E*>(call.h[0]), call.cols, &one, W, call.ld2);
  }

  BlasLibrary library_;
  BlasLibrary::Context* context_;
};

}  // namespace ritz::device
