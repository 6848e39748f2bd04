#include "ritz/core/checkpoint.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "ritz/core/error.hpp"

using namespace ritz;

namespace {

/// A path that no other test uses, with no file at it before and after.
struct Path {
  explicit Path(const char* name)
      : text((std::filesystem::temp_directory_path() / (std::string("ritz_") + name)).string()) {
    std::remove(text.c_str());
  }
  ~Path() { std::remove(text.c_str()); }
  std::string text;
};

std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_all(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

struct State {
  std::vector<double> x{1.0, 2.5, -3.0};
  Index steps = 7;
  std::array<Checkpoint::Part, 2> parts() {
    return {Checkpoint::Part(x), Checkpoint::value(steps)};
  }
};

}  // namespace

TEST_CASE("checkpoint: what was saved comes back") {
  const Path path("checkpoint_same");
  State state, other;
  other.x = {0.0, 0.0, 0.0};
  other.steps = 0;
  Checkpoint checkpoint(path.text, 0.0);
  CHECK(checkpoint.due());
  CHECK_FALSE(checkpoint.load("a run", other.parts()));
  checkpoint.save("a run", state.parts());
  CHECK(checkpoint.load("a run", other.parts()));
  CHECK(other.x == state.x);
  CHECK(other.steps == 7);
  CHECK_FALSE(std::filesystem::exists(path.text + ".part"));

  state.steps = 8;
  checkpoint.save("a run", state.parts());
  CHECK(checkpoint.load("a run", other.parts()));
  CHECK(other.steps == 8);
  checkpoint.remove();
  CHECK_FALSE(std::filesystem::exists(path.text));
  CHECK_FALSE(checkpoint.load("a run", other.parts()));
  checkpoint.remove();
}

TEST_CASE("checkpoint: none saves nothing, and time passes between two") {
  State state;
  Checkpoint none;
  CHECK_FALSE(none);
  CHECK_FALSE(none.due());
  none.save("a run", state.parts());
  CHECK_FALSE(none.load("a run", state.parts()));
  none.remove();
  CHECK_FALSE(Checkpoint("somewhere", 1e9).due());
}

TEST_CASE("checkpoint: a file of another run, or of none, is refused") {
  const Path path("checkpoint_foreign");
  State state, other;
  Checkpoint checkpoint(path.text, 0.0);
  checkpoint.save("a run", state.parts());
  for (const char* identity : {"b run", "a", "a run of more"}) {
    CHECK_THROWS_AS(checkpoint.load(identity, other.parts()), InvalidArgument);
  }
  other.x.push_back(1.0);
  CHECK_THROWS_AS(checkpoint.load("a run", other.parts()), InvalidArgument);
  for (const char* text : {"", "r", "ritz checkpoint 1\n", "something else altogether, and long"}) {
    write_all(path.text, text);
    CHECK_THROWS_AS(checkpoint.load("a run", state.parts()), InvalidArgument);
  }
}

TEST_CASE("checkpoint: damage anywhere is noticed") {
  const Path path("checkpoint_damaged");
  State state, other;
  Checkpoint checkpoint(path.text, 0.0);
  checkpoint.save("a run", state.parts());
  const std::string whole = read_all(path.text);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    CAPTURE(i);
    write_all(path.text, whole.substr(0, i));
    CHECK_THROWS_AS(checkpoint.load("a run", other.parts()), InvalidArgument);
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    write_all(path.text, changed);
    CHECK_THROWS_AS(checkpoint.load("a run", other.parts()), InvalidArgument);
  }
  write_all(path.text, whole + "x");
  CHECK_THROWS_AS(checkpoint.load("a run", other.parts()), InvalidArgument);
  write_all(path.text, whole);
  CHECK(checkpoint.load("a run", other.parts()));
}

TEST_CASE("checkpoint: a folder that is not there") {
  State state;
  Checkpoint checkpoint("/nowhere/at/all/checkpoint", 0.0);
  CHECK_THROWS_AS(checkpoint.save("a run", state.parts()), std::system_error);
  CHECK_FALSE(checkpoint.load("a run", state.parts()));
}
