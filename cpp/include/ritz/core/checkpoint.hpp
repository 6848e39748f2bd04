// Where a long run keeps what it needs to go on after its process has died.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "ritz/core/types.hpp"
#include "ritz/core/view.hpp"

namespace ritz {

/// Memory that the host reaches by copies only.
class RemoteMemory {
 public:
  virtual void download(const void* from, void* to, std::size_t bytes) = 0;
  virtual void upload(void* to, const void* from, std::size_t bytes) = 0;

 protected:
  ~RemoteMemory() = default;
};

/// A file that holds the state of one run. A method saves at points from which it can go on to the
/// same bits; a run of the same problem with the same options that finds the file goes on there.
/// The default one saves nothing. The file is replaced in one step, so that it is whole whenever
/// the process dies, and removed when the run has converged.
class Checkpoint {
 public:
  /// Memory whose contents are part of the state.
  struct Part {
    void* data;
    std::size_t bytes;
    RemoteMemory* memory = nullptr;  ///< where that is, if not the host's

    Part(void* start, std::size_t size) : data(start), bytes(size) {}
    template <class Range>
      requires requires(Range& r) {
        r.data();
        r.size();
      }
    explicit Part(Range& r)
        : data(static_cast<void*>(r.data())), bytes(r.size() * sizeof(*r.data())) {}
  };
  /// A plain value as a part.
  template <class V>
    requires std::is_trivially_copyable_v<V>
  static Part value(V& v) {
    return {&v, sizeof(V)};
  }
  /// Vectors of a space.
  template <class S>
  static Part columns(const S& space, BlockView<typename S::Value> V) {
    Part part(V.data, static_cast<std::size_t>(V.ld * V.cols) * sizeof(typename S::Value));
    if constexpr (requires { space.queue(); }) part.memory = &space.queue();
    return part;
  }

  Checkpoint() = default;
  /// Saves at most every `every` seconds.
  explicit Checkpoint(std::string path, double every = 60.0)
      : path_(std::move(path)), every_(every) {}

  explicit operator bool() const { return !path_.empty(); }
  /// Whether it is time to save.
  bool due() const;

  /// Writes the parts, in this order. `identity` says what run this is: the method, the sizes, the
  /// element type and every option that decides its course. Throws std::system_error if the file
  /// cannot be written.
  RITZ_API void save(const std::string& identity, std::span<const Part> parts);
  /// Reads them back, in the same order and sizes; false if there is no file. Throws
  /// InvalidArgument if the file is of another run.
  RITZ_API bool load(const std::string& identity, std::span<const Part> parts);
  /// Removes the file, if there is one.
  RITZ_API void remove();

 private:
  using Time = std::chrono::steady_clock::time_point;

  std::string path_;
  double every_ = 60.0;
  Time saved_ = std::chrono::steady_clock::now();
};

inline bool Checkpoint::due() const {
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - saved_;
  return !path_.empty() && since.count() >= every_;
}

}  // namespace ritz
