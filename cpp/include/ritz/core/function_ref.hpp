// A callable by reference: two pointers, no allocation, exceptions pass through.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace ritz {

template <class Signature>
class function_ref;

/// Refers to a callable that must outlive the reference; empty when default-constructed.
template <class R, class... Args>
class function_ref<R(Args...)> {
 public:
  function_ref() = default;

  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, function_ref> &&
             std::is_invocable_r_v<R, F&, Args...>)
  function_ref(F&& f) noexcept
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(f)))),
        call_([](void* object, Args... args) -> R {
          return std::invoke(*static_cast<std::remove_reference_t<F>*>(object),
                             std::forward<Args>(args)...);
        }) {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }
  explicit operator bool() const { return call_ != nullptr; }

 private:
  void* object_ = nullptr;
  R (*call_)(void*, Args...) = nullptr;
};

}  // namespace ritz
