#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "child_process.hpp"
#include "ritz/core/error.hpp"
#include "ritz/core/threads.hpp"

namespace ritz::testing {
namespace {

/// Restores the number of threads.
struct Threads {
  explicit Threads(Index count) : before(threads::num_threads()) {
    threads::set_num_threads(count);
  }
  ~Threads() { threads::set_num_threads(before); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  Index before;
};

/// Whether a region of `parts` runs each part once.
bool each_once(Index parts) {
  std::vector<std::atomic<int>> runs(static_cast<std::size_t>(parts));
  threads::parallel_for(parts, [&](Index part) { ++runs[static_cast<std::size_t>(part)]; });
  return std::all_of(runs.begin(), runs.end(), [](const auto& r) { return r == 1; });
}

/// Returns when each of the `count` threads is inside a region. A thread that is still starting may
/// hold the lock of AddressSanitizer's allocator, which GCC 12 does not hand over a fork as the
/// C library does its own: the child would wait for that lock for ever.
void meet(Index count) {
  std::atomic<Index> arrived{0};
  threads::parallel_for(count, [&](Index) {
    ++arrived;
    while (arrived < count) std::this_thread::yield();
  });
}

TEST_CASE("every part runs once") {
  for (const Index count : {1, 2, 3, 7}) {
    const Threads several(count);
    CHECK(threads::num_threads() == count);
    for (const Index parts : {0, 1, 2, 3, 7, 8, 100, 1024, 65535, 65536, 200000}) {
      CAPTURE(count);
      CAPTURE(parts);
      CHECK(each_once(parts));
    }
  }
}

TEST_CASE("many short regions") {
  const Threads several(3);
  Index sum = 0;
  std::vector<Index> values(3);
  for (Index k = 0; k < 20000; ++k) {
    threads::parallel_for(3,
                          [&](Index part) { values[static_cast<std::size_t>(part)] = k + part; });
    sum += values[0] + values[1] + values[2] - 3 * k - 3;
    if (k % 1000 == 0) threads::park();
  }
  CHECK(sum == 0);
}

TEST_CASE("a region uses several threads") {
  const Threads several(2);
  std::atomic<int> arrived{0};
  std::vector<std::thread::id> ids(2);
  // Neither part ends before both have begun, so one thread alone could not do it.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  threads::parallel_for(2, [&](Index part) {
    ids[static_cast<std::size_t>(part)] = std::this_thread::get_id();
    ++arrived;
    while (arrived < 2 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  });
  CHECK(arrived == 2);
  CHECK(ids[0] != ids[1]);
}

TEST_CASE("work is taken from a thread that is held up") {
  const Threads several(2);
  std::atomic<int> others{0};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  // Part 0 waits for all the others, of which half were meant for its own thread.
  threads::parallel_for(16, [&](Index part) {
    if (part != 0) {
      ++others;
      return;
    }
    while (others < 15 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  });
  CHECK(others == 15);
}

TEST_CASE("nested regions run in the calling thread") {
  const Threads several(4);
  std::atomic<Index> total{0};
  std::atomic<bool> stayed{true};
  threads::parallel_for(8, [&](Index) {
    const auto self = std::this_thread::get_id();
    threads::parallel_for(100, [&](Index inner) {
      total += inner;
      if (std::this_thread::get_id() != self) stayed = false;
    });
  });
  CHECK(total == 8 * 4950);
  CHECK(stayed);
}

TEST_CASE("concurrent callers") {
  const Threads several(3);
  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int k = 0; k < 300; ++k) {
        if (!each_once(50)) ++failures;
        threads::park();
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(failures == 0);
}

TEST_CASE("the number of threads may change while others call") {
  const Threads several(2);
  std::atomic<bool> done{false};
  std::atomic<int> failures{0};
  std::thread caller([&] {
    while (!done) {
      if (!each_once(20)) ++failures;
    }
  });
  for (int k = 0; k < 100; ++k) threads::set_num_threads(1 + k % 4);
  done = true;
  caller.join();
  CHECK(failures == 0);
}

TEST_CASE("after a pause and after parking") {
  const Threads several(2);
  CHECK(each_once(10));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the workers fall asleep
  CHECK(each_once(10));
  threads::park();
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(each_once(10));
}

TEST_CASE("few elements do not start a region") {
  const Threads several(4);
  const auto self = std::this_thread::get_id();
  std::vector<Index> order;
  threads::for_each_part(5, threads::kParallelElements - 1, [&](Index part) {
    CHECK(std::this_thread::get_id() == self);
    order.push_back(part);
  });
  CHECK(order == std::vector<Index>{0, 1, 2, 3, 4});
}

TEST_CASE("misuse is refused by name") {
  CHECK_THROWS_WITH_AS(threads::set_num_threads(0),
                       "count is 0; pass a number of threads from 1 to 65535", InvalidArgument);
  CHECK_THROWS_AS(threads::set_num_threads(-3), InvalidArgument);
  CHECK_THROWS_AS(threads::set_num_threads(1 << 20), InvalidArgument);
  CHECK(each_once(10));
}

TEST_CASE("a forked child works, serially at first" *
          doctest::description("fork leaves only the calling thread")) {
  const Threads several(3);
  meet(3);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // a child that hangs fails
    const auto self = std::this_thread::get_id();
    bool good = threads::num_threads() == 1;
    std::vector<int> runs(64);
    threads::parallel_for(64, [&](Index part) {
      good = good && std::this_thread::get_id() == self;
      ++runs[static_cast<std::size_t>(part)];
    });
    good = good && std::count(runs.begin(), runs.end(), 1) == 64;
    threads::park();
    _exit(good ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(threads::num_threads() == 3);
  CHECK(each_once(64));
}

TEST_CASE("a forked child may start threads of its own and exits cleanly" * doctest::skip()) {
  threads::set_num_threads(2);
  meet(2);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    threads::set_num_threads(2);
    std::exit(each_once(64) ? 0 : 1);  // runs the destructors of static objects
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
TEST_CASE("the environment gives the number of threads" * doctest::skip()) {
  CHECK(threads::num_threads() == std::atoi(std::getenv("RITZ_NUM_THREADS")));
  CHECK(each_once(10));
}
TEST_CASE("a number of threads that is none is refused by name" * doctest::skip()) {
  try {
    threads::num_threads();
    FAIL("accepted");
  } catch (const InvalidArgument& e) {
    CHECK(std::string(e.what()).find("RITZ_NUM_THREADS is \"") == 0);
  }
  threads::park();              // is for callbacks, so it never throws
  threads::set_num_threads(2);  // and a number given in the program is good
  CHECK(each_once(10));
}
TEST_CASE("in fresh processes") {
#if !defined(__SANITIZE_THREAD__)  // the sanitizer supports no threads started after a fork
  CHECK(run_test_case("a forked child may start threads of its own and exits cleanly",
                      "RITZ_NUM_THREADS", "2") == 0);
#endif
  for (const char* count : {"1", "5"}) {
    CHECK(run_test_case("the environment gives the number of threads", "RITZ_NUM_THREADS", count) ==
          0);
  }
  CHECK(run_test_case("the environment gives the number of threads", "RITZ_NUM_THREADS", "two") !=
        0);
  for (const char* text : {"0", "-2", "two", "3x", "99999999999999999999"}) {
    CHECK(run_test_case("a number of threads that is none is refused by name", "RITZ_NUM_THREADS",
                        text) == 0);
  }
}

}  // namespace
}  // namespace ritz::testing
