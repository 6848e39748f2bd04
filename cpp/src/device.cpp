#include "ritz/device/queue.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <utility>

#include "ritz/core/error.hpp"

namespace ritz::device {

namespace {

/// Next to the library or module that contains this function.
std::string beside_this_library(const char* name) {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&backend), &info) == 0 || info.dli_fname == nullptr) {
    return name;
  }
  return (std::filesystem::path(info.dli_fname).parent_path() / name).string();
}

struct Loaded {
  const Backend* backend = nullptr;
  std::string reason;
};

Loaded load() {
  const char* named = std::getenv("RITZ_CUDA_LIBRARY");
  const std::string path =
      named != nullptr && *named != '\0' ? named : beside_this_library("libritz_cuda.so");
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return {nullptr, named != nullptr && *named != '\0'
                         ? "RITZ_CUDA_LIBRARY names " + path + ", which does not exist"
                         : "ritz was built without its CUDA plugin: build it with nvcc at hand, or "
                           "name a built libritz_cuda.so by RITZ_CUDA_LIBRARY"};
  }
  // Never closed: its kernels may run until the process ends.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr)
    return {nullptr, std::string("the CUDA plugin did not load: ") + dlerror()};
  const auto get = reinterpret_cast<BackendGet>(dlsym(library, kBackendSymbol));
  if (get == nullptr) return {nullptr, path + " is not a CUDA plugin of ritz"};
  const Backend* backend = get(kAbi);
  if (backend == nullptr || backend->abi != kAbi || backend->size != sizeof(Backend)) {
    return {nullptr, path + " belongs to another version of ritz: build both together"};
  }
  std::int32_t devices = 0;
  if (backend->count(&devices) != Error::none) return {nullptr, backend->message()};
  if (devices == 0) return {nullptr, "no CUDA device was found"};
  return {backend, {}};
}

struct Hook {
  std::mutex mutex;
  std::function<void()> check;
};
Hook& hook() {
  static Hook it;
  return it;
}

struct Registry {
  std::mutex mutex;
  std::map<std::pair<std::int32_t, void*>, std::weak_ptr<DeviceQueue>> queues;
};

}  // namespace

const Backend& backend() {
  static const Loaded loaded = load();
  if (loaded.backend == nullptr) throw DeviceUnavailable(loaded.reason);
  return *loaded.backend;
}

std::shared_ptr<DeviceQueue> DeviceQueue::of(std::int32_t device, void* stream) {
  static Registry registry;
  const std::lock_guard lock(registry.mutex);
  std::weak_ptr<DeviceQueue>& known = registry.queues[{device, stream}];
  std::shared_ptr<DeviceQueue> queue = known.lock();
  if (!queue) known = queue = std::shared_ptr<DeviceQueue>(new DeviceQueue(device, stream));
  return queue;
}

DeviceQueue::DeviceQueue(std::int32_t device, void* stream)
    : backend_(&backend()), device_(device), stream_(stream) {
  check(backend_->open(device, stream, &queue_), "opening a queue");
  try {
    mirror_ = pin(kMirror);
  } catch (const DeviceError&) {
    backend_->close(queue_);
    throw;
  }
  pending_.reserve(kMostPending);
  announced_.reserve(64);
}

DeviceQueue::~DeviceQueue() {
  try {
    flush();
  } catch (const DeviceError&) {  // nobody is left to be told
  }
  for (double* chunk : chunks_) backend_->release(queue_, chunk);
  for (const Sent& s : sent_) {
    if (s.memory != nullptr) backend_->release(queue_, s.memory);
  }
  backend_->close(queue_);
  backend_->unpin(mirror_);  // an interrupted read may have written to it until now
  for (const Pinned& p : answers_) {
    if (p.memory != nullptr) backend_->unpin(p.memory);
  }
}

double* DeviceQueue::pin(std::size_t doubles) {
  void* memory = nullptr;
  check(backend_->pin(queue_, doubles * sizeof(double), &memory), "allocating host memory");
  return static_cast<double*>(memory);
}

void DeviceQueue::check(Error error, const char* doing) const {
  if (error == Error::none) return;
  throw DeviceError(std::string(doing) + " on device " + std::to_string(device_) +
                    " failed: " + backend_->message());
}

void DeviceQueue::flush() {
  if (pending_.empty()) return;
  const Error error = backend_->enqueue(queue_, pending_.data(), pending_.size());
  calls_ += static_cast<Index>(pending_.size());
  pending_.clear();  // also after a failure: what follows must not run again
  check(error, "running kernels");
}

void DeviceQueue::flush_quietly() {
  try {
    flush();
  } catch (const DeviceError& e) {  // told to whoever waits next
    failure_ = e.what();
  }
}

void DeviceQueue::wait() {
  flush();
  check(backend_->mark(queue_, 0), "waiting");
  wait_for(0);
}

void DeviceQueue::wait_for(std::int32_t mark) {
  const auto interrupted = [] {
    std::function<void()> check;
    {
      const std::lock_guard lock(hook().mutex);
      check = hook().check;
    }
    if (check) check();
  };
  if (!failure_.empty()) throw DeviceError(std::exchange(failure_, {}));
  ++waits_;
  for (std::int32_t done = 0; done == 0;) {
    check(backend_->wait(queue_, mark, 0.01, &done), "waiting");
    // Also where no wait is long, but not at each of many short ones.
    const auto now = std::chrono::steady_clock::now();
    if (done == 0 || now - checked_ > std::chrono::milliseconds(10)) {
      checked_ = now;
      interrupted();
    }
  }
}

void DeviceQueue::on_wait(std::function<void()> check) {
  const std::lock_guard lock(hook().mutex);
  hook().check = std::move(check);
}

void* DeviceQueue::take(std::size_t bytes, bool pooled) {
  void* memory = nullptr;
  Error error = Error::none;
  if (pooled && allocate_) {
    memory = allocate_(bytes);
    if (memory == nullptr) error = Error::out_of_memory;
  } else {
    error = backend_->allocate(queue_, bytes, &memory);
  }
  if (error == Error::out_of_memory) {
    throw DeviceOutOfMemory("device " + std::to_string(device_) + " has no room for " +
                                std::to_string(bytes) + " bytes more; " + std::to_string(held_) +
                                " bytes are held by workspaces of ritz on this stream",
                            bytes, held_);
  }
  check(error, "allocating memory");
  return memory;
}

std::shared_ptr<void> DeviceQueue::allocate(std::size_t bytes) {
  if (bytes == 0) bytes = 1;
  void* memory = take(bytes, true);
  held_ += bytes;
  const auto give_back = [self = shared_from_this(), bytes, release = release_](void* p) {
    self->flush_quietly();
    // What lay there will not be read.
    std::erase_if(self->announced_, [&](const Announced& a) {
      const auto* start = static_cast<const double*>(p);
      return !std::less<>{}(a.start, start) &&
             std::less<>{}(a.start, start + bytes / sizeof(double));
    });
    self->held_ -= bytes;
    if (release) {
      release(p);
    } else {
      self->backend_->release(self->queue_, p);
    }
  };
  return {memory, [queue = this, give_back](void* p) {
            if (queue->recording_) {  // what was recorded works on it
              queue->keep({p, give_back});
            } else {
              give_back(p);
            }
          }};
}

void DeviceQueue::use_allocator(std::function<void*(std::size_t)> allocate,
                                std::function<void(void*)> release) {
  allocate_ = std::move(allocate);
  release_ = std::move(release);
}

void DeviceQueue::upload(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  flush();
  if (fresh_) forget();
  check(backend_->upload(queue_, to, from, bytes), "copying to the device");
}

const double* DeviceQueue::send(std::size_t operand, const double* from, std::size_t doubles) {
  Sent& s = sent_[operand];
  if (doubles > s.doubles) {
    const std::size_t room = std::max(doubles, kSmallest);
    auto* memory = static_cast<double*>(take(room * sizeof(double), false));
    flush();  // what was queued may use the old one
    if (s.memory != nullptr) backend_->release(queue_, s.memory);
    s = {memory, room};
  }
  upload(s.memory, from, doubles * sizeof(double));
  return s.memory;
}

void DeviceQueue::announce(const double* start, std::size_t doubles) {
  const std::size_t taken =
      announced_.empty() ? kSlotMirror : announced_.back().at + announced_.back().doubles;
  if (mirrored(start, doubles) != nullptr || taken + doubles > kMirror) return;
  announced_.push_back({start, doubles, taken});
}

const double* DeviceQueue::mirrored(const double* start, std::size_t doubles) const {
  const auto within = [&](const double* from, std::size_t count) {
    return !std::less<>{}(start, from) && !std::less<>{}(from + count, start + doubles);
  };
  if (!chunks_.empty() && within(chunks_[0], kSlotMirror)) return mirror_ + (start - chunks_[0]);
  for (const Announced& a : announced_) {
    if (within(a.start, a.doubles)) return mirror_ + a.at + (start - a.start);
  }
  return nullptr;
}

void DeviceQueue::fetch() {
  flush();
  const auto copy = [&](std::size_t at, const double* from, std::size_t doubles) {
    check(backend_->download(queue_, mirror_ + at, from, doubles * sizeof(double)),
          "copying from the device");
  };
  if (!chunks_.empty()) copy(0, chunks_[0], std::min(kSlotMirror, 2 * used_));
  for (const Announced& a : announced_) copy(a.at, a.start, a.doubles);
  wait();
  fresh_ = true;
}

void DeviceQueue::read(const double* from, double* to, std::size_t doubles) {
  if (!fresh_) announce(from, doubles);
  const double* there = mirrored(from, doubles);
  if (there != nullptr) {
    if (!fresh_) fetch();
    std::copy_n(there, doubles, to);
    return;
  }
  download(from, to, doubles * sizeof(double));
}

DeviceRecording::DeviceRecording(std::shared_ptr<DeviceQueue> queue, Recording* recording,
                                 std::uint64_t number, std::vector<std::shared_ptr<void>> kept)
    : queue_(std::move(queue)), recording_(recording), number_(number), kept_(std::move(kept)) {}

DeviceRecording::~DeviceRecording() {
  queue_->flush_quietly();
  queue_->backend_->forget(queue_->queue_, recording_);
}

void DeviceRecording::play() const {
  Call call{};
  call.kernel = Kernel::recording;
  call.v[0] = recording_;
  call.seed = number_;
  queue_->call(call);
}

std::unique_ptr<DeviceRecording> DeviceQueue::record(function_ref<void()> work) {
  flush();
  check(backend_->record(queue_, &recording_stream_), "recording");
  recording_ = true;
  const auto end = [this](Recording** to) {
    recording_ = false;
    return backend_->recorded(queue_, to);
  };
  try {
    work();
    flush();
  } catch (...) {
    pending_.clear();
    kept_.clear();
    end(nullptr);
    throw;
  }
  Recording* made = nullptr;
  auto kept = std::exchange(kept_, {});
  check(end(&made), "recording");
  return std::make_unique<DeviceRecording>(shared_from_this(), made, ++recordings_,
                                           std::move(kept));
}

Question DeviceQueue::ask(std::span<const Stretch> stretches) {
  std::size_t k = 0;
  while (k < kQuestions && open_[k]) ++k;
  if (k == kQuestions) return {};
  flush();
  std::size_t doubles = 0;
  for (const Stretch& s : stretches) doubles += s.doubles;
  Pinned& to = answers_[k];
  if (doubles > to.doubles) {
    const std::size_t room = std::max(doubles, kSmallest);
    double* memory = pin(room);
    // Whoever asked before may have gone without an answer, which is on its way.
    if (to.memory != nullptr) {
      wait();
      backend_->unpin(to.memory);
    }
    to = {memory, room};
  }
  Question question(*this, k);
  open_[k] = true;
  double* at = to.memory;
  for (const Stretch& s : stretches) {
    if (s.doubles == 0) continue;
    check(backend_->download(queue_, at, s.start, s.doubles * sizeof(double)),
          "copying from the device");
    at += s.doubles;
  }
  check(backend_->mark(queue_, static_cast<std::int32_t>(k) + 1), "copying from the device");
  return question;
}

const double* Question::answer() const {
  queue_->flush();
  queue_->wait_for(static_cast<std::int32_t>(number_) + 1);
  return queue_->answers_[number_].memory;
}

Question::~Question() {
  if (queue_ != nullptr) queue_->open_[number_] = false;
}

void DeviceQueue::download(const void* from, void* to, std::size_t bytes) {
  // By pieces through the mirror, which the device may still write to after an interrupted wait.
  forget();
  const auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  while (bytes > 0) {
    const std::size_t piece = std::min(kMirror * sizeof(double), bytes);
    flush();
    check(backend_->download(queue_, mirror_, source, piece), "copying from the device");
    wait();
    std::memcpy(target, mirror_, piece);
    source += piece;
    target += piece;
    bytes -= piece;
  }
}

Index DeviceQueue::acquire(Index count) {
  const auto size = static_cast<Index>(holders_.size());
  const auto held = [&](Index k) { return holders_[static_cast<std::size_t>(k)] > 0; };
  while (lowest_ < size && held(lowest_)) ++lowest_;
  Index first = lowest_;
  for (Index k = first; k < size && k < first + count; ++k) {
    if (held(k)) {
      first = k + 1;
    } else if (k % kChunk == 0) {
      first = k;  // a chunk is not followed by the next
    }
  }
  if (first + count > size) {
    first = size;
    chunks_.push_back(static_cast<double*>(take(2 * kChunk * sizeof(double), false)));
    holders_.resize(holders_.size() + kChunk, 0);
  }
  std::fill_n(holders_.begin() + first, count, 1);
  used_ = std::max(used_, static_cast<std::size_t>(first + count));
  return first;
}

}  // namespace ritz::device
