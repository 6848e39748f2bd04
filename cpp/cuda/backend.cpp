// The CUDA backend: memory, order, and the replay of what comes again.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "blas.hpp"
#include "launch.hpp"

namespace ritz::device {

extern template bool plan<float>(const Call&, const Resources&, std::vector<Launch>&);
extern template bool plan<double>(const Call&, const Resources&, std::vector<Launch>&);
extern template bool plan<Complex<float>>(const Call&, const Resources&, std::vector<Launch>&);
extern template bool plan<Complex<double>>(const Call&, const Resources&, std::vector<Launch>&);

namespace {

thread_local std::string last_message;

Error fail(cudaError_t code) {
  last_message = std::string(cudaGetErrorName(code)) + ": " + cudaGetErrorString(code);
  if (code == cudaErrorInsufficientDriver || code == cudaErrorNoDevice) {
    last_message += code == cudaErrorNoDevice
                        ? " (no CUDA device is visible to this process)"
                        : " (no NVIDIA driver, or one older than the CUDA runtime of ritz, " +
                              std::to_string(CUDART_VERSION / 1000) + "." +
                              std::to_string(CUDART_VERSION % 1000 / 10) + ")";
    return Error::unavailable;
  }
  cudaGetLastError();  // what does not stick is forgotten
  return code == cudaErrorMemoryAllocation ? Error::out_of_memory : Error::failed;
}
Error checked(cudaError_t code) { return code == cudaSuccess ? Error::none : fail(code); }
Error checked(Blas::Status status) {
  if (status == Blas::Status::success) return Error::none;
  last_message = "cuBLAS: status " + std::to_string(static_cast<int>(status));
  return status == Blas::Status::out_of_memory ? Error::out_of_memory : Error::failed;
}

/// Makes a device current, and the one before again at the end.
class Current {
 public:
  explicit Current(int device) {
    cudaGetDevice(&before_);
    if (before_ != device) {
      cudaSetDevice(device);
      changed_ = true;
    }
  }
  ~Current() {
    if (changed_) cudaSetDevice(before_);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = 0;
  bool changed_ = false;
};

std::uint64_t hash(const Call* calls, std::size_t count) {
  std::uint64_t value = 0xcbf29ce484222325u ^ count;
  for (std::size_t i = 0; i < count * sizeof(Call) / 8; ++i) {
    std::uint64_t word;
    std::memcpy(&word, reinterpret_cast<const char*>(calls) + 8 * i, 8);
    value = (value ^ word) * 0x9E3779B97F4A7C15u;
    value ^= value >> 29;
  }
  return value;
}
static_assert(sizeof(Call) % 8 == 0 && std::is_trivially_copyable_v<Call>);

/// A stretch of calls that has come before.
struct Known {
  std::vector<Call> calls;
  int seen = 0;
  cudaGraphExec_t graph = nullptr;
};

}  // namespace

struct Recording {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t runnable = nullptr;
};

struct Queue {
  int device = 0;
  cudaStream_t stream = nullptr;
  cudaEvent_t marks[kMarks] = {};
  Resources resources{};
  // Two halves of pinned memory that uploads go through in turn, each with what last read it.
  char* staging = nullptr;
  cudaEvent_t staged[2] = {};
  std::size_t half = 0, filled = 0;
  std::unordered_map<std::uint64_t, Known> known;
  // Null unless a recording is made: on a stream of its own, as the default stream cannot be.
  std::unique_ptr<Recording> recording;
  cudaStream_t recording_stream = nullptr;
  std::vector<Launch> launches;
  // Sought at the first call that it would take.
  std::unique_ptr<Blas> blas;
  void* workspace = nullptr;
  bool sought = false;

  static constexpr std::size_t kHalf = std::size_t{256} << 10;
  // A graph costs some tens of launches to make, and a queue keeps no more than so many.
  static constexpr int kSeenBefore = 2;
  static constexpr std::size_t kMostKnown = 64, kFewestLaunches = 3;

  ~Queue() {
    const Current current(device);
    forget();
    blas.reset();
    for (const std::span<cudaEvent_t> events :
         {std::span<cudaEvent_t>(marks), std::span<cudaEvent_t>(staged)}) {
      for (cudaEvent_t e : events) {
        if (e != nullptr) cudaEventDestroy(e);
      }
    }
    if (recording_stream != nullptr) cudaStreamDestroy(recording_stream);
    if (staging != nullptr) cudaFreeHost(staging);
    if (workspace != nullptr) cudaFree(workspace);
    if (resources.partials != nullptr) cudaFree(resources.partials);
    if (resources.ticket != nullptr) cudaFree(resources.ticket);
  }

  void forget() {
    for (auto& [key, k] : known) {
      if (k.graph != nullptr) cudaGraphExecDestroy(k.graph);
    }
    known.clear();
  }
};

namespace {

bool plan_any(const Call& call, const Resources& resources, std::vector<Launch>& to) {
  switch (call.element) {
    case Element::f4:
      return plan<float>(call, resources, to);
    case Element::f8:
      return plan<double>(call, resources, to);
    case Element::c8:
      return plan<Complex<float>>(call, resources, to);
    case Element::c16:
      return plan<Complex<double>>(call, resources, to);
  }
  return false;
}

Error count_devices(std::int32_t* devices) {
  int count = 0;
  const Error error = checked(cudaGetDeviceCount(&count));
  *devices = count;
  return error;
}

Error describe(std::int32_t device, Description* to) {
  cudaDeviceProp properties;
  if (const cudaError_t code = cudaGetDeviceProperties(&properties, device)) return fail(code);
  *to = {};
  const std::size_t length = std::min(std::strlen(properties.name), sizeof(to->name) - 1);
  std::memcpy(to->name, properties.name, length);
  to->major = properties.major;
  to->minor = properties.minor;
  to->processors = properties.multiProcessorCount;
  to->memory = properties.totalGlobalMem;
  int version = 0;
  if (cudaRuntimeGetVersion(&version) == cudaSuccess) to->runtime = version;
  if (cudaDriverGetVersion(&version) == cudaSuccess) to->driver = version;
  return Error::none;
}

Error locate(const void* address, std::int32_t* device) {
  cudaPointerAttributes attributes{};
  if (const cudaError_t code = cudaPointerGetAttributes(&attributes, address)) return fail(code);
  const bool there =
      attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  *device = there ? attributes.device : -1;
  return Error::none;
}

/// Memory in stream order, kept for the next allocation: one pool a device, apart from everybody
/// else's.
Error pool_of(int device, cudaMemPool_t* to) {
  static std::mutex mutex;
  static std::unordered_map<int, cudaMemPool_t> pools;
  const std::lock_guard lock(mutex);
  cudaMemPool_t& pool = pools[device];
  if (pool == nullptr) {
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = device;
    if (const cudaError_t code = cudaMemPoolCreate(&pool, &properties)) return fail(code);
    std::uint64_t keep = std::uint64_t{1} << 30;
    cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep);
  }
  *to = pool;
  return Error::none;
}

Error open(std::int32_t device, void* stream, Queue** to) {
  int count = 0;
  if (const cudaError_t code = cudaGetDeviceCount(&count)) return fail(code);
  if (device < 0 || device >= count) {
    last_message = "there is no CUDA device " + std::to_string(device) + ": there are " +
                   std::to_string(count);
    return Error::failed;
  }
  const Current current(device);
  auto queue = std::make_unique<Queue>();
  queue->device = device;
  queue->stream = static_cast<cudaStream_t>(stream);
  int processors = 0;
  cudaError_t code = cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device);
  queue->resources.processors = static_cast<unsigned>(processors);
  const auto next = [&](auto call) {
    if (code == cudaSuccess) code = call();
  };
  for (const std::span<cudaEvent_t> events :
       {std::span<cudaEvent_t>(queue->marks), std::span<cudaEvent_t>(queue->staged)}) {
    for (cudaEvent_t& e : events) {
      next([&] { return cudaEventCreateWithFlags(&e, cudaEventDisableTiming); });
    }
  }
  next([&] {
    return cudaMalloc(reinterpret_cast<void**>(&queue->resources.partials),
                      kPartials * sizeof(double));
  });
  next([&] {
    return cudaMalloc(reinterpret_cast<void**>(&queue->resources.ticket), sizeof(unsigned));
  });
  next(
      [&] { return cudaMemsetAsync(queue->resources.ticket, 0, sizeof(unsigned), queue->stream); });
  next([&] { return cudaMallocHost(reinterpret_cast<void**>(&queue->staging), 2 * Queue::kHalf); });
  if (code != cudaSuccess) return fail(code);
  *to = queue.release();
  return Error::none;
}

void close(Queue* queue) {
  {
    const Current current(queue->device);
    if (cudaStreamSynchronize(queue->stream) != cudaSuccess) {
      // The process ends, or the device is lost: cuBLAS may not be called any more.
      static_cast<void>(queue->blas.release());
    }
  }
  delete queue;
}

Error allocate(Queue* queue, std::size_t bytes, void** to) {
  const Current current(queue->device);
  cudaMemPool_t pool = nullptr;
  if (const Error error = pool_of(queue->device, &pool); error != Error::none) return error;
  return checked(cudaMallocFromPoolAsync(to, bytes, pool, queue->stream));
}

void release(Queue* queue, void* memory) {
  const Current current(queue->device);
  cudaFreeAsync(memory, queue->stream);
}

/// Null if there is no cuBLAS, or it does not start: the kernels can do without.
const Blas* blas_of(Queue* queue) {
  if (queue->sought) return queue->blas.get();
  queue->sought = true;
  constexpr const char* kNames[] = {"libcublas.so.13", "libcublas.so.12"};
  const auto library = BlasLibrary::find(kNames);
  if (!library) return nullptr;
  int major = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, queue->device);
  // As much as NVIDIA recommends.
  const std::size_t bytes = std::size_t{major >= 9 ? 32u : 4u} << 20;
  if (cudaMalloc(&queue->workspace, bytes) != cudaSuccess) {
    cudaGetLastError();
    return nullptr;
  }
  queue->blas = Blas::start(*library, queue->stream, queue->workspace, bytes);
  return queue->blas.get();
}

/// Null for a kernel and for cuBLAS.
const Recording* recording_of(const Launch& l) {
  const Call& call = l.arguments.call;
  return call.kernel == Kernel::recording ? static_cast<const Recording*>(call.v[0]) : nullptr;
}

Error launch_all(const Queue& queue, cudaStream_t stream) {
  for (const Launch& l : queue.launches) {
    Error error = Error::none;
    if (l.kernel != nullptr) {
      void* arguments[] = {const_cast<Arguments*>(&l.arguments)};
      error = checked(
          cudaLaunchKernel(l.kernel, dim3(l.blocks), dim3(kThreads), arguments, l.shared, stream));
    } else if (const Recording* recording = recording_of(l)) {
      error = checked(cudaGraphLaunch(recording->runnable, stream));
    } else {
      error = checked(queue.blas->multiply(l.arguments.call));
    }
    if (error != Error::none) return error;
  }
  return Error::none;
}

Error make_graph(const std::vector<Launch>& launches, cudaGraphExec_t* to) {
  cudaGraph_t graph;
  if (const cudaError_t code = cudaGraphCreate(&graph, 0)) return fail(code);
  cudaGraphNode_t last = nullptr;
  cudaError_t code = cudaSuccess;
  for (const Launch& l : launches) {
    void* arguments[] = {const_cast<Arguments*>(&l.arguments)};
    cudaKernelNodeParams node{};
    node.func = const_cast<void*>(l.kernel);
    node.gridDim = dim3(l.blocks);
    node.blockDim = dim3(kThreads);
    node.sharedMemBytes = l.shared;
    node.kernelParams = arguments;
    cudaGraphNode_t added;
    const std::size_t before = last != nullptr ? 1 : 0;
    const Recording* recording = recording_of(l);
    code = recording != nullptr
               ? cudaGraphAddChildGraphNode(&added, graph, &last, before, recording->graph)
               : cudaGraphAddKernelNode(&added, graph, &last, before, &node);
    if (code != cudaSuccess) break;
    last = added;
  }
  if (code == cudaSuccess) code = cudaGraphInstantiate(to, graph, 0);
  cudaGraphDestroy(graph);
  return checked(code);
}

Error enqueue(Queue* queue, const Call* calls, std::size_t count) {
  const Current current(queue->device);
  Known* known = nullptr;
  if (count >= Queue::kFewestLaunches && !queue->recording) {
    const std::uint64_t key = hash(calls, count);
    auto found = queue->known.find(key);
    if (found == queue->known.end()) {
      if (queue->known.size() >= Queue::kMostKnown) queue->forget();
      found = queue->known.emplace(key, Known{}).first;
    }
    known = &found->second;
    const bool same = known->calls.size() == count &&
                      std::memcmp(known->calls.data(), calls, count * sizeof(Call)) == 0;
    if (!same) {
      if (known->graph != nullptr) cudaGraphExecDestroy(known->graph);
      *known = Known{std::vector<Call>(calls, calls + count), 0, nullptr};
    }
    if (known->graph != nullptr) return checked(cudaGraphLaunch(known->graph, queue->stream));
    ++known->seen;
  }
  queue->launches.clear();
  bool products = false;
  for (std::size_t i = 0; i < count; ++i) {
    // In a recording, to start cuBLAS could end the recording.
    const bool product = Blas::takes(calls[i]) && !queue->recording && blas_of(queue) != nullptr;
    products = products || product;
    if (product || calls[i].kernel == Kernel::recording) {
      queue->launches.push_back({nullptr, 0, 0, {calls[i], nullptr, nullptr, 0, 0, 0}});
    } else if (!plan_any(calls[i], queue->resources, queue->launches)) {
      last_message = "the CUDA plugin has no kernel " +
                     std::to_string(static_cast<int>(calls[i].kernel)) +
                     ": build it together with the library";
      return Error::failed;
    }
  }
  // A graph is made kernel by kernel, and which ones cuBLAS launches only it knows.
  if (known != nullptr && known->seen > Queue::kSeenBefore && !products) {
    const Error error = make_graph(queue->launches, &known->graph);
    return error != Error::none ? error : checked(cudaGraphLaunch(known->graph, queue->stream));
  }
  return launch_all(*queue, queue->recording ? queue->recording_stream : queue->stream);
}

Error not_recorded(const char* what) {
  last_message = std::string(what) + " cannot be recorded";
  return Error::failed;
}

Error upload(Queue* queue, void* to, const void* from, std::size_t bytes) {
  if (queue->recording) return not_recorded("numbers brought from the host");
  const Current current(queue->device);
  const auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  while (bytes > 0) {
    if (queue->filled == Queue::kHalf) {
      if (const cudaError_t code = cudaEventRecord(queue->staged[queue->half], queue->stream)) {
        return fail(code);
      }
      queue->half = 1 - queue->half;
      queue->filled = 0;
      // Whoever copied from this half must have finished.
      if (const cudaError_t code = cudaEventSynchronize(queue->staged[queue->half])) {
        return fail(code);
      }
    }
    const std::size_t piece = std::min(bytes, Queue::kHalf - queue->filled);
    char* stage = queue->staging + queue->half * Queue::kHalf + queue->filled;
    std::memcpy(stage, source, piece);
    const cudaError_t code =
        cudaMemcpyAsync(target, stage, piece, cudaMemcpyHostToDevice, queue->stream);
    if (code != cudaSuccess) return fail(code);
    // The next upload begins at a boundary that suits every copy engine.
    queue->filled = std::min((queue->filled + piece + 63) / 64 * 64, Queue::kHalf);
    source += piece;
    target += piece;
    bytes -= piece;
  }
  return Error::none;
}

Error download(Queue* queue, void* to, const void* from, std::size_t bytes) {
  if (queue->recording) return not_recorded("a read");
  const Current current(queue->device);
  return checked(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, queue->stream));
}

Error mark(Queue* queue, std::int32_t number) {
  if (queue->recording) return not_recorded("a wait");
  const Current current(queue->device);
  return checked(cudaEventRecord(queue->marks[number], queue->stream));
}

Error wait(Queue* queue, std::int32_t number, double seconds, std::int32_t* done) {
  const Current current(queue->device);
  *done = 0;
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    const cudaError_t code = cudaEventQuery(queue->marks[number]);
    if (code == cudaSuccess) {
      *done = 1;
      return Error::none;
    }
    if (code != cudaErrorNotReady) return fail(code);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    if (passed.count() > seconds) return Error::none;
    // A loop's iterations take microseconds; what takes longer need not hold a processor.
    if (passed.count() > 1e-3) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

Error record(Queue* queue, void** stream) {
  const Current current(queue->device);
  if (queue->recording) return not_recorded("a recording");
  cudaError_t code = cudaSuccess;
  if (queue->recording_stream == nullptr) {
    code = cudaStreamCreateWithFlags(&queue->recording_stream, cudaStreamNonBlocking);
  }
  // Relaxed: whoever records may allocate memory.
  if (code == cudaSuccess) {
    code = cudaStreamBeginCapture(queue->recording_stream, cudaStreamCaptureModeRelaxed);
  }
  if (code != cudaSuccess) return fail(code);
  queue->recording = std::make_unique<Recording>();
  *stream = queue->recording_stream;
  return Error::none;
}

void forget(Queue* queue, Recording* recording) {
  const Current current(queue->device);
  queue->forget();  // graphs that contain it
  if (recording->runnable != nullptr) cudaGraphExecDestroy(recording->runnable);
  if (recording->graph != nullptr) cudaGraphDestroy(recording->graph);
  delete recording;
}

Error recorded(Queue* queue, Recording** to) {
  const Current current(queue->device);
  Recording* recording = queue->recording.release();
  cudaError_t code = cudaStreamEndCapture(queue->recording_stream, &recording->graph);
  if (code == cudaSuccess && to != nullptr) {
    code = cudaGraphInstantiate(&recording->runnable, recording->graph, 0);
  }
  if (code != cudaSuccess || to == nullptr) {
    forget(queue, recording);
    return checked(code);
  }
  *to = recording;
  return Error::none;
}

Error pin(Queue* queue, std::size_t bytes, void** to) {
  const Current current(queue->device);
  return checked(cudaMallocHost(to, bytes));
}
void unpin(void* memory) { cudaFreeHost(memory); }
const char* message() { return last_message.c_str(); }

constexpr Backend kBackend = {
    kAbi,  sizeof(Backend), "CUDA",   count_devices, describe, locate,   open,
    close, allocate,        release,  enqueue,       upload,   download, mark,
    wait,  record,          recorded, forget,        pin,      unpin,    message};

}  // namespace

extern "C" __attribute__((visibility("default"))) const Backend* ritz_device_backend(
    std::uint32_t abi);
extern "C" const Backend* ritz_device_backend(std::uint32_t abi) {
  return abi == kAbi ? &kBackend : nullptr;
}

}  // namespace ritz::device
