// The host's side of a device: calls on their way to it, and reduced scalars that stay there.
#pragma once

#include <bitset>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ritz/core/checkpoint.hpp"
#include "ritz/core/function_ref.hpp"
#include "ritz/device/backend.hpp"

namespace ritz::device {

class DeviceQueue;

/// Scalars that were asked for, or none; the queue must outlive it.
class RITZ_API Question {
 public:
  Question() = default;
  Question(Question&& other) noexcept
      : queue_(std::exchange(other.queue_, nullptr)), number_(other.number_) {}
  Question& operator=(Question&& other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(number_, other.number_);
    return *this;
  }
  ~Question();

  explicit operator bool() const { return queue_ != nullptr; }
  /// The doubles, one stretch after the other; until the question's end.
  const double* answer() const;

 private:
  friend class DeviceQueue;
  Question(DeviceQueue& queue, std::size_t number) : queue_(&queue), number_(number) {}

  DeviceQueue* queue_ = nullptr;
  std::size_t number_ = 0;
};

/// Work of a queue that was recorded, with what it needs.
class RITZ_API DeviceRecording {
 public:
  DeviceRecording(std::shared_ptr<DeviceQueue> queue, Recording* recording, std::uint64_t number,
                  std::vector<std::shared_ptr<void>> kept);
  DeviceRecording(const DeviceRecording&) = delete;
  ~DeviceRecording();
  /// Queues it again.
  void play() const;

 private:
  std::shared_ptr<DeviceQueue> queue_;
  Recording* recording_;
  std::uint64_t number_;
  std::vector<std::shared_ptr<void>> kept_;
};

/// Calls are collected and handed over together, when somebody reads, waits, or queues work of his
/// own: a backend then sees whole stretches of a method, and can replay those that come again.
/// One thread at a time.
class RITZ_API DeviceQueue final : public std::enable_shared_from_this<DeviceQueue>,
                                   public RemoteMemory {
 public:
  /// The queue of a stream: the same one as long as anybody holds it.
  static std::shared_ptr<DeviceQueue> of(std::int32_t device, void* stream = nullptr);
  ~DeviceQueue();
  DeviceQueue(const DeviceQueue&) = delete;
  DeviceQueue& operator=(const DeviceQueue&) = delete;

  std::int32_t device() const { return device_; }
  /// For work that is queued by others: everything collected so far comes before it.
  void* stream() {
    flush();
    if (fresh_) forget();
    return recording_ ? recording_stream_ : stream_;
  }

  void call(const Call& call) {
    if (fresh_) forget();
    pending_.push_back(call);
    if (pending_.size() >= kMostPending) flush();
  }
  void flush();
  /// Until everything queued is done. `on_wait` is called now and then, and may throw.
  void wait();

  /// Memory that lives until everything that was queued before its end is done.
  std::shared_ptr<void> allocate(std::size_t bytes);
  /// Where `allocate` gets memory from instead of the backend: an array framework's own pool. It
  /// returns null if there is none left; `release` is given what it returned.
  void use_allocator(std::function<void*(std::size_t)> allocate,
                     std::function<void(void*)> release);

  /// What `work` queues, here or by others on `stream`, but does not run. It must neither wait nor
  /// bring numbers of the host. Throws what it throws, or DeviceError if that is no use.
  std::unique_ptr<DeviceRecording> record(function_ref<void()> work);
  bool recording() const { return recording_; }
  /// While recording: keeps something alive as long as the recording.
  void keep(std::shared_ptr<void> thing) { kept_.push_back(std::move(thing)); }

  void upload(void* to, const void* from, std::size_t bytes) override;
  /// From device memory: waits, unless it came with the last wait and nothing was queued since.
  void read(const double* from, double* to, std::size_t doubles);
  /// Likewise bytes of any kind; always waits.
  void download(const void* from, void* to, std::size_t bytes) override;
  struct Stretch {
    const double* start;
    std::size_t doubles;
  };
  /// Asks for what is in device memory at this place of the queue. The answer waits for this alone:
  /// the device goes on with what was handed over since. None where too many questions are open.
  Question ask(std::span<const Stretch> stretches);
  /// Numbers of the host in device memory, for the next call alone: its h[operand].
  const double* send(std::size_t operand, const double* from, std::size_t doubles);
  /// What will be read after the next wait comes along with it, if it is not too long. Slots do
  /// without being asked for.
  void announce(const double* start, std::size_t doubles);

  /// Two doubles in device memory, counted by those who hold them, or `count` times as many one
  /// after the other: the lowest that nobody does, so that a loop uses the same ones every time or
  /// every other time.
  Index acquire(Index count = 1);
  void retain(Index slot) { ++holders_[static_cast<std::size_t>(slot)]; }
  void release(Index slot) {
    if (--holders_[static_cast<std::size_t>(slot)] == 0 && slot < lowest_) lowest_ = slot;
  }
  double* address(Index slot) const {
    return chunks_[static_cast<std::size_t>(slot / kChunk)] + 2 * (slot % kChunk);
  }

  /// How often the host has waited, and the calls handed over.
  Index waits() const { return waits_; }
  Index calls() const { return calls_; }
  std::size_t bytes_in_use() const { return held_; }

  /// Called while waiting, every few milliseconds; throws what is to end the wait.
  static void on_wait(std::function<void()> check);

 private:
  // A method's loop has some tens of calls between two reads.
  static constexpr std::size_t kMostPending = 1024;
  static constexpr Index kChunk = 512;  // slots allocated together
  // Doubles of the host that a wait fills: those of the lowest slots, and what was announced.
  static constexpr std::size_t kMirror = 8192, kSlotMirror = 128;
  // Mark 0 is for waits, the others are the questions'.
  static constexpr std::size_t kQuestions = kMarks - 1;
  friend class Question;
  friend class DeviceRecording;

  struct Announced {
    const double* start;
    std::size_t doubles, at;
  };

  DeviceQueue(std::int32_t device, void* stream);
  void check(Error error, const char* doing) const;
  void* take(std::size_t bytes, bool pooled);
  double* pin(std::size_t doubles);
  void flush_quietly();
  void wait_for(std::int32_t mark);
  void forget() {
    announced_.clear();
    fresh_ = false;
  }
  const double* mirrored(const double* start, std::size_t doubles) const;
  void fetch();

  const Backend* backend_;
  Queue* queue_ = nullptr;
  std::int32_t device_;
  void* stream_;
  std::vector<Call> pending_;
  std::vector<double*> chunks_;
  std::vector<std::int32_t> holders_;
  Index lowest_ = 0;          // no slot below it is free
  std::size_t used_ = 0;      // slots that ever were held
  double* mirror_ = nullptr;  // kMirror doubles
  std::bitset<kQuestions> open_;
  struct Pinned {
    double* memory = nullptr;
    std::size_t doubles = 0;
  } answers_[kQuestions];
  bool recording_ = false;
  void* recording_stream_ = nullptr;
  std::uint64_t recordings_ = 0;
  std::vector<std::shared_ptr<void>> kept_;
  static constexpr std::size_t kSmallest = 1024;  // doubles that `send` makes room for
  struct Sent {
    double* memory = nullptr;
    std::size_t doubles = 0;
  } sent_[3];
  std::vector<Announced> announced_;
  bool fresh_ = false;  // the mirror holds what the device has now
  std::function<void*(std::size_t)> allocate_;
  std::function<void(void*)> release_;
  std::size_t held_ = 0;
  std::chrono::steady_clock::time_point checked_;  // when `on_wait` was last called
  Index waits_ = 0, calls_ = 0;
  std::string failure_;  // met where nothing can be thrown
};

/// One of a queue's scalars, or none.
class Slot {
 public:
  Slot() = default;
  explicit Slot(DeviceQueue& queue) : Slot(queue, queue.acquire()) {}
  /// One that was acquired.
  Slot(DeviceQueue& queue, Index index) : queue_(&queue), index_(index) {}
  Slot(const Slot& other) : queue_(other.queue_), index_(other.index_) {
    if (queue_ != nullptr) queue_->retain(index_);
  }
  Slot(Slot&& other) noexcept
      : queue_(std::exchange(other.queue_, nullptr)), index_(other.index_) {}
  Slot& operator=(Slot other) noexcept {
    std::swap(queue_, other.queue_);
    std::swap(index_, other.index_);
    return *this;
  }
  ~Slot() {
    if (queue_ != nullptr) queue_->release(index_);
  }

  /// Null for none.
  double* address() const { return queue_ != nullptr ? queue_->address(index_) : nullptr; }

 private:
  DeviceQueue* queue_ = nullptr;
  Index index_ = 0;
};

/// Slots one after the other.
class SlotRun {
 public:
  SlotRun(DeviceQueue& queue, Index count)
      : queue_(&queue), first_(queue.acquire(count)), count_(count) {}
  SlotRun(SlotRun&& other) noexcept
      : queue_(other.queue_), first_(other.first_), count_(std::exchange(other.count_, 0)) {}
  SlotRun& operator=(SlotRun&&) = delete;
  ~SlotRun() {
    for (Index k = 0; k < count_; ++k) queue_->release(first_ + k);
  }

  Slot operator[](Index k) const {
    queue_->retain(first_ + k);
    return {*queue_, first_ + k};
  }
  double* address() const { return queue_->address(first_); }

 private:
  DeviceQueue* queue_;
  Index first_, count_;
};

}  // namespace ritz::device
