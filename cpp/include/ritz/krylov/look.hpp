// When a run looks at the scalars of its recurrence.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "ritz/core/monitor.hpp"
#include "ritz/space/recurrence.hpp"

namespace ritz {

/// What `ask` of a space returns, if it has one.
template <class S>
struct QuestionOf {
  struct Type {};
};
template <class S>
  requires requires { typename S::Question; }
struct QuestionOf<S> {
  using Type = typename S::Question;
};

/// Where reads are free, at every iteration. A device is asked every `check_every` iterations and
/// looked at kLag iterations later, so that it never waits for the host; but not in the last
/// iteration, nor for an observer, who is to see x together with its residual.
template <class S>
class Looks {
 public:
  // Two iterations are work enough for the time that a host needs to look and to go on.
  static constexpr Index kLag = 2;

  /// Whether there are iterations enough between two looks.
  static bool lags(const Monitor& monitor) { return monitor.check_every > kLag; }

  /// Forgets what was asked.
  void forget() { question_ = {}; }

  /// The values of scalars in iteration k, counted from 1, if it is one to look in, or if `now`.
  template <class... R>
  std::optional<std::array<double, sizeof...(R)>> scalars(Index k, bool now, const Monitor& monitor,
                                                          S& space, const R&... scalars) {
    std::array<double, sizeof...(R)> values;
    switch (turn(k, now, monitor, [&] { return ask(space, scalars...); })) {
      case Turn::none:
        return std::nullopt;
      case Turn::answer:
        if constexpr (requires { question_.answer(); }) {
          std::copy_n(std::exchange(question_, {}).answer(), values.size(), values.begin());
        }
        return values;
      case Turn::read:
        break;
    }
    return {{space.read(scalars)...}};
  }

  /// Likewise a recurrence, or null.
  template <class Kept>
  auto recurrence(Index k, bool now, const Monitor& monitor, S& space, Kept& kept)
      -> decltype(&space.read(kept)) {
    switch (turn(k, now, monitor, [&] { return ask(space, kept); })) {
      case Turn::none:
        return nullptr;
      case Turn::answer:
        if constexpr (requires { space.answer(question_, kept); }) {
          return &space.answer(std::exchange(question_, {}), kept);
        }
        [[fallthrough]];
      case Turn::read:
        break;
    }
    return &space.read(kept);
  }

 private:
  using Question = typename QuestionOf<S>::Type;
  enum class Turn { none, answer, read };

  template <class... R>
  static Question ask(S& space, const R&... scalars) {
    if constexpr (requires { space.ask(scalars...); }) {
      return space.ask(scalars...);
    } else {
      return {};
    }
  }
  template <class Ask>
  Turn turn(Index k, bool now, const Monitor& monitor, Ask ask) {
    const bool due = monitor.template due<S>(k - 1);
    if constexpr (requires { static_cast<bool>(question_); }) {
      const bool lags = !now && !monitor.observer && Looks::lags(monitor);
      if (question_ && lags) return k == asked_ + kLag ? Turn::answer : Turn::none;
      if (lags && due) {
        question_ = ask();
        asked_ = k;
        if (question_) return Turn::none;
      }
    }
    if (!now && !due) return Turn::none;
    forget();
    return Turn::read;
  }

  Question question_;
  Index asked_ = 0;  // the iteration of the question
};

}  // namespace ritz
