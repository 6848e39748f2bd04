// The coroutine in which a method is written, so that one loop serves a solve that runs through, an
// iteration stepped from outside, and many right-hand sides that share their products.
#pragma once

#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace ritz {

/// Where the coroutine frames of one run live. Nested calls end in reverse order, so that a stack
/// of buffers is enough; they only grow, so that a second run of a method allocates nothing.
class FrameStack {
 public:
  void* push(std::size_t bytes) {
    if (depth_ == levels_.size()) levels_.emplace_back();
    Level& level = levels_[depth_];
    const std::size_t total = bytes + kHeader;
    if (level.capacity < total) {
      level.memory.reset(new std::byte[total]);
      level.capacity = total;
    }
    ++depth_;
    ::new (level.memory.get()) FrameStack*(this);
    return level.memory.get() + kHeader;
  }
  static void pop(void* frame) {
    --(*reinterpret_cast<FrameStack**>(static_cast<std::byte*>(frame) - kHeader))->depth_;
  }

 private:
  static constexpr std::size_t kHeader = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
  struct Level {
    std::unique_ptr<std::byte[]> memory;
    std::size_t capacity = 0;
  };
  std::vector<Level> levels_;
  std::size_t depth_ = 0;
};

/// A coroutine whose object, or whose first parameter, has `frames()`. Awaiting it runs it; when
/// something inside it pauses, whoever resumed the outermost task goes on.
template <class R = void>
class [[nodiscard]] Task {
  template <class V>
  struct Returned {
    V value{};
    void return_value(V v) { value = v; }
    V take() const { return value; }
  };
  template <class V>
    requires std::is_void_v<V>
  struct Returned<V> {
    void return_void() const {}
    void take() const {}
  };

 public:
  struct promise_type : Returned<R> {
    std::coroutine_handle<> awaiting = std::noop_coroutine();
    std::exception_ptr error;

    template <class First, class... Rest>
    static void* operator new(std::size_t bytes, First& first, Rest&&...) {
      return first.frames().push(bytes);
    }
    static void operator delete(void* frame) { FrameStack::pop(frame); }

    Task get_return_object() {
      return Task(std::coroutine_handle<promise_type>::from_promise(*this));
    }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    auto final_suspend() const noexcept {
      struct Return {
        bool await_ready() const noexcept { return false; }
        std::coroutine_handle<> await_suspend(
            std::coroutine_handle<promise_type> self) const noexcept {
          return self.promise().awaiting;
        }
        void await_resume() const noexcept {}
      };
      return Return{};
    }
    void unhandled_exception() { error = std::current_exception(); }
  };

  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) handle_.destroy();
  }

  std::coroutine_handle<> handle() const { return handle_; }
  bool done() const { return handle_.done(); }
  /// What it returned; throws what it threw.
  R result() const {
    if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
    return handle_.promise().take();
  }

  bool await_ready() const { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const {
    handle_.promise().awaiting = awaiting;
    return handle_;
  }
  R await_resume() const { return result(); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace ritz
