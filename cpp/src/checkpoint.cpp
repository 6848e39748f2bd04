#include "ritz/core/checkpoint.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <system_error>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "ritz/core/error.hpp"

namespace ritz {

namespace {

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

[[noreturn]] void fail(const std::string& what, const std::string& path) {
  throw std::system_error(errno, std::generic_category(), what + " " + path);
}

// The file: this line, a number that shows the byte order of the machine, the length and the text
// of the identity, each part after its length, and the checksum of all parts.
constexpr char kMagic[] = "ritz checkpoint 1\n";
constexpr std::uint64_t kByteOrder = 0x0102030405060708;

/// Fowler-Noll-Vo, by words of eight bytes: changes whenever a single byte does.
class Checksum {
 public:
  void add(const void* data, std::size_t bytes) {
    const auto* at = static_cast<const unsigned char*>(data);
    for (; bytes >= sizeof(std::uint64_t); at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, at, sizeof word);
      mix(word);
      bytes -= sizeof word;
    }
    for (; bytes > 0; ++at, --bytes) mix(*at);
  }
  std::uint64_t value() const { return value_; }

 private:
  void mix(std::uint64_t word) { value_ = (value_ ^ word) * 0x100000001b3; }
  std::uint64_t value_ = 0xcbf29ce484222325;
};

void write(std::FILE* f, const void* data, std::size_t bytes, const std::string& path) {
  if (bytes > 0 && std::fwrite(data, 1, bytes, f) != bytes) fail("cannot write", path);
}
void write(std::FILE* f, std::uint64_t number, const std::string& path) {
  write(f, &number, sizeof number, path);
}

bool read(std::FILE* f, void* data, std::size_t bytes) {
  return bytes == 0 || std::fread(data, 1, bytes, f) == bytes;
}
std::uint64_t read_number(std::FILE* f) {
  std::uint64_t number = 0;
  return read(f, &number, sizeof number) ? number : ~std::uint64_t{0};
}

char* at(const Checkpoint::Part& part, std::size_t offset) {
  return static_cast<char*>(part.data) + offset;
}

/// f(data, offset, bytes) for the whole of a part, at once where the host has it, else by way of a
/// buffer of the host.
template <class F>
void pieces(const Checkpoint::Part& part, const F& f) {
  if (!part.memory) return f(part.data, std::size_t{0}, part.bytes);
  constexpr std::size_t kPiece = std::size_t{16} << 20;
  std::vector<char> buffer(std::min(part.bytes, kPiece));
  for (std::size_t offset = 0; offset < part.bytes; offset += kPiece) {
    f(static_cast<void*>(buffer.data()), offset, std::min(part.bytes - offset, kPiece));
  }
}

}  // namespace

void Checkpoint::save(const std::string& identity, std::span<const Part> parts) {
  if (path_.empty()) return;
  const std::string fresh = path_ + ".part";
  {
    File f(std::fopen(fresh.c_str(), "wb"), &std::fclose);
    if (!f) fail("cannot write", fresh);
    write(f.get(), kMagic, sizeof kMagic - 1, fresh);
    write(f.get(), kByteOrder, fresh);
    write(f.get(), identity.size(), fresh);
    write(f.get(), identity.data(), identity.size(), fresh);
    Checksum sum;
    for (const Part& part : parts) {
      write(f.get(), part.bytes, fresh);
      pieces(part, [&](void* data, std::size_t offset, std::size_t bytes) {
        if (part.memory) part.memory->download(at(part, offset), data, bytes);
        write(f.get(), data, bytes, fresh);
        sum.add(data, bytes);
      });
    }
    write(f.get(), sum.value(), fresh);
    if (std::fflush(f.get()) != 0) fail("cannot write", fresh);
#if defined(__unix__) || defined(__APPLE__)
    if (fsync(fileno(f.get())) != 0) fail("cannot write", fresh);
#endif
  }
  if (std::rename(fresh.c_str(), path_.c_str()) != 0) fail("cannot replace", path_);
  saved_ = std::chrono::steady_clock::now();
}

bool Checkpoint::load(const std::string& identity, std::span<const Part> parts) {
  if (path_.empty()) return false;
  const File f(std::fopen(path_.c_str(), "rb"), &std::fclose);
  if (!f) {
    if (errno == ENOENT) return false;
    fail("cannot read", path_);
  }
  char magic[sizeof kMagic - 1];
  if (!read(f.get(), magic, sizeof magic) ||
      std::string(magic, sizeof magic) != std::string(kMagic) ||
      read_number(f.get()) != kByteOrder) {
    throw InvalidArgument("checkpoint: " + path_ + " is not a checkpoint of this machine");
  }
  std::string found(identity.size(), ' ');
  const bool same = read_number(f.get()) == identity.size() &&
                    read(f.get(), found.data(), found.size()) && found == identity;
  if (!same) {
    throw InvalidArgument("checkpoint: " + path_ + " belongs to another run than " + identity +
                          "; pass another path, or remove it to begin anew");
  }
  Checksum sum;
  bool whole = true;
  for (const Part& part : parts) {
    whole = whole && read_number(f.get()) == part.bytes;
    if (!whole) break;
    pieces(part, [&](void* data, std::size_t offset, std::size_t bytes) {
      whole = whole && read(f.get(), data, bytes);
      if (!whole) return;
      sum.add(data, bytes);
      if (part.memory) part.memory->upload(at(part, offset), data, bytes);
    });
  }
  if (!whole || read_number(f.get()) != sum.value() || std::fgetc(f.get()) != EOF) {
    throw InvalidArgument("checkpoint: " + path_ + " is damaged; remove it to begin anew");
  }
  return true;
}

void Checkpoint::remove() {
  if (!path_.empty()) std::remove(path_.c_str());
}

}  // namespace ritz
