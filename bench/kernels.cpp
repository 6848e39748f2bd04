// Bytes a second of every fused operation of the host space, beside STREAM's triad and copy.
//
//   kernels [--json FILE] [--n N]   measures everything, or for vectors of N alone
//   kernels --cg-update N           measures the vector work of one CG iteration on N doubles
//                                   whenever a line with a number of threads comes in, and answers
//                                   with microseconds; kernels_numpy.py asks in turn with NumPy
//
// Bytes are counted as STREAM does: every element read or written counts once, what a cache
// fetches in order to write does not count. So an update in place may exceed the triad, which
// writes a vector it has not read.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

#include "ritz/space/host.hpp"

namespace {

using ritz::BlockView;
using ritz::Field;
using ritz::HostSpace;
using ritz::Index;
using ritz::VectorView;
namespace threads = ritz::threads;

constexpr int kRounds = 11;
constexpr Index kCols = 16;              // columns of a basis, as a short Lanczos run has
constexpr double kSampleSeconds = 1e-3;  // a sample repeats its operation for about this long

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

// STREAM's loops get the same vector units as the kernels.
#if defined(__x86_64__) && defined(__GLIBC__)
[[gnu::target_clones("default", "avx2", "avx512f")]]
#endif
void triad(Index n, float s, const float* b, const float* c, float* a) {
#pragma GCC ivdep
  for (Index i = 0; i < n; ++i) a[i] = b[i] + s * c[i];
}
#if defined(__x86_64__) && defined(__GLIBC__)
[[gnu::target_clones("default", "avx2", "avx512f")]]
#endif
void triad(Index n, double s, const double* b, const double* c, double* a) {
#pragma GCC ivdep
  for (Index i = 0; i < n; ++i) a[i] = b[i] + s * c[i];
}

/// Contiguous shares of [0, n), as many as there are threads.
template <class Body>
void shares(Index n, const Body& body) {
  const Index parts = threads::num_threads();
  threads::for_each_part(parts, n, [&](Index part) {
    const Index first = n * part / parts;
    body(first, n * (part + 1) / parts - first);
  });
}

struct Operation {
  std::string name;
  double elements;  // read or written, for each of the n rows
  std::function<void()> run;
};

struct Row {
  std::string op;
  std::string dtype;
  Index n, threads;
  double rate, ratio;
};

volatile double sink;  // keeps results from being optimised away

template <Field T>
void measure(const char* dtype, Index n, std::vector<Row>& rows) {
  HostSpace<T> space;
  const Index ld = (n + 63) / 64 * 64 + 64;  // columns in different cache sets
  const auto memory =
      HostSpace<T>::allocate(static_cast<std::size_t>((6 + kCols) * ld) * sizeof(T));
  T* data = static_cast<T*>(memory.get());
  const auto vector = [&](Index k) { return VectorView<T>(data + k * ld, n); };
  for (Index k = 0; k < 6 + kCols; ++k) {
    space.random_uniform({1, static_cast<std::uint64_t>(k)}, vector(k));
  }
  const auto x = vector(0), y = vector(1), z = vector(2), w = vector(3), u = vector(4),
             v = vector(5);
  const BlockView<T> V{data + 6 * ld, n, kCols, ld};
  // Coefficients that keep repeated updates bounded.
  const double a = 1e-3, b = 0.5;
  std::vector<double> h(kCols, 1e-4), g(kCols), S(kCols * kCols, 0.0);
  for (Index j = 0; j < kCols; ++j) S[static_cast<std::size_t>(j * kCols + j)] = 1.0;
  const BlockView<const double> whole{S.data(), kCols, kCols, kCols};
  const double k = static_cast<double>(kCols);

  const std::vector<Operation> operations = {
      {"triad", 3,
       [&] {
         shares(n, [&](Index i, Index m) { triad(m, static_cast<T>(a), &x[i], &y[i], &z[i]); });
       }},
      {"copy", 2, [&] { shares(n, [&](Index i, Index m) { std::copy_n(&x[i], m, &z[i]); }); }},
      {"dot", 2, [&] { sink = space.dot(x, y); }},
      {"norm2", 1, [&] { sink = space.norm2(x); }},
      {"dots (3)", 3, [&] { sink = space.dots({{x, y}, {y, y}, {w, x}})[2]; }},
      {"axpby", 3, [&] { space.axpby(a, x, b, z); }},
      {"axpy_norm2", 3, [&] { sink = space.axpy_norm2(-a, x, z); }},
      {"add3_norm2", 4, [&] { sink = space.add3_norm2(b, x, b, y, b, z); }},
      {"axpy_xpby", 5, [&] { space.axpy_xpby(a, u, w, b, y); }},
      {"step3", 6, [&] { space.step3(b, x, b, u, b, y, a, w); }},
      {"update3", 7, [&] { sink = space.update3(b, u, a, w, b, x, b, v); }},
      {"rotate2", 4, [&] { space.rotate2(0.8, 0.6, u, v); }},
      {"multiply_add", 4, [&] { space.multiply_add(a, x, y, z); }},
      {"project (16)", k + 1, [&] { space.project(V, x, g); }},
      {"subtract_project (16)", k + 2, [&] { space.subtract_project(V, h, w, g); }},
      {"subtract_norm2 (16)", k + 2, [&] { sink = space.subtract_norm2(V, h, w); }},
      {"axpy_columns (16)", k + 2, [&] { space.axpy_columns(V, h, w); }},
      {"combine (16 to 16)", 2 * k, [&] { space.combine(V, whole); }},
  };

  std::vector<Index> repeats;
  for (const Operation& op : operations) {
    op.run();
    const double start = now();
    op.run();
    repeats.push_back(std::max<Index>(1, std::llround(kSampleSeconds / (now() - start))));
  }
  // The fastest of a few runs is one that no other program interrupted.
  constexpr int kRuns = 3;
  std::vector<std::vector<double>> rates(operations.size()), ratios(operations.size());
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t o = 0; o < operations.size(); ++o) {
      double seconds = INFINITY;
      for (int run = 0; run < kRuns; ++run) {
        const double start = now();
        for (Index r = 0; r < repeats[o]; ++r) operations[o].run();
        seconds = std::min(seconds, (now() - start) / static_cast<double>(repeats[o]));
      }
      const double bytes = operations[o].elements * static_cast<double>(n) * sizeof(T);
      rates[o].push_back(bytes / seconds * 1e-9);
      ratios[o].push_back(rates[o].back() / rates[0].back());
    }
  }
  for (std::size_t o = 0; o < operations.size(); ++o) {
    rows.push_back({operations[o].name, dtype, n, threads::num_threads(), median(rates[o]),
                    median(ratios[o])});
  }
}

std::string machine() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("model name", 0) == 0) {
      return line.substr(line.find(':') + 2) + ", " + std::to_string(threads::num_threads()) +
             " processors";
    }
  }
  return std::to_string(threads::num_threads()) + " processors";
}

void measure_everything(std::FILE* out, const std::vector<Index>& sizes) {
  const std::string name = machine();
  std::vector<Row> rows;
  for (const Index count : {1, 2}) {
    threads::set_num_threads(count);
    for (const Index n : sizes) {
      measure<float>("f32", n, rows);
      measure<double>("f64", n, rows);
    }
  }
  std::fprintf(out, "{\n  \"machine\": \"%s\",\n  \"isa\": \"%s\",\n", name.c_str(),
               ritz::kernels::name(ritz::kernels::default_isa()).data());
  std::fprintf(out, "  \"rounds\": %d,\n  \"rows\": [\n", kRounds);
  for (const Row& row : rows) {
    std::fprintf(out,
                 "    {\"op\": \"%s\", \"dtype\": \"%s\", \"n\": %lld, \"threads\": %lld, "
                 "\"gbytes_per_s\": %.1f, \"ratio_to_triad\": %.2f}%s\n",
                 row.op.c_str(), row.dtype.c_str(), static_cast<long long>(row.n),
                 static_cast<long long>(row.threads), row.rate, row.ratio,
                 &row == &rows.back() ? "" : ",");
  }
  std::fprintf(out, "  ]\n}\n");
}

/// pᴴq, {r −= αq, rᴴr}, {x += αp, p = r + βp}: all that one CG iteration does with vectors.
void serve_cg_updates(Index n) {
  HostSpace<double> space;
  const auto memory = HostSpace<double>::allocate(static_cast<std::size_t>(4 * (n + 64)) * 8);
  auto* data = static_cast<double*>(memory.get());
  const auto vector = [&](Index k) { return VectorView<double>(data + k * (n + 64), n); };
  const auto x = vector(0), r = vector(1), p = vector(2), q = vector(3);
  for (const auto& v : {x, r, p, q}) space.random_uniform({1, 0}, v);
  const Index repeats = std::max<Index>(1, 500000 / n);
  for (Index count; std::cin >> count;) {
    threads::set_num_threads(count);
    double seconds = INFINITY;
    for (int run = 0; run < 4; ++run) {  // of which the first wakes threads and warms caches
      const double start = now();
      for (Index k = 0; k < repeats; ++k) {
        const double pq = space.dot(p, q);
        const double rr = space.axpy_norm2(-1e-9 / (1.0 + std::abs(pq)), q, r);
        space.axpy_xpby(1e-9, p, x, 0.5 + 1e-9 / (1.0 + rr), r);
      }
      seconds = std::min(seconds, (now() - start) / static_cast<double>(repeats));
    }
    std::cout << seconds * 1e6 << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::FILE* out = stdout;
  std::vector<Index> sizes = {10000, 100000, 1000000, 10000000};
  for (int k = 1; k < argc; k += 2) {
    const std::string option = argv[k];
    if (k + 1 == argc || (option != "--json" && option != "--n" && option != "--cg-update")) {
      std::fprintf(stderr, "usage: kernels [--json FILE] [--n N] | --cg-update N\n");
      return 2;
    }
    if (option == "--cg-update") {
      serve_cg_updates(std::atoll(argv[k + 1]));
      return 0;
    }
    if (option == "--n") sizes = {std::atoll(argv[k + 1])};
    if (option == "--json") out = std::fopen(argv[k + 1], "w");
    if (out == nullptr) {
      std::perror(argv[k + 1]);
      return 1;
    }
  }
  measure_everything(out, sizes);
  std::fclose(out);
}
