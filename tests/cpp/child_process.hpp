// Runs one test case of this program again in a fresh process with another environment, for what a
// process decides only once.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace ritz::testing {

/// The exit status of this program, run for the (otherwise skipped) test case alone with
/// `variable` set to `value`; −1 if a signal ended it.
inline int run_test_case(const std::string& test_case, const char* variable, const char* value) {
  const pid_t child = fork();
  if (child == 0) {
    setenv(variable, value, 1);
    const std::string filter = "--test-case=" + test_case;
    execl("/proc/self/exe", "test", filter.c_str(), "--no-skip", "--out=/dev/null",
          static_cast<char*>(nullptr));
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace ritz::testing
