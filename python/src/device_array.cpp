#include "device_array.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "bind_methods.hpp"
#include "operators.hpp"

namespace ritz::python {

namespace {

/// What an array says of itself, by either protocol.
struct Described {
  void* data = nullptr;
  std::int32_t device = 0;
  std::string type;
  std::vector<Index> shape;
  bool contiguous = true, read_only = false;
  std::shared_ptr<void> owner;
};

/// The strides of an array without gaps whose last dimension runs fastest.
std::vector<Index> by_rows(const std::vector<Index>& shape) {
  std::vector<Index> strides(shape.size(), 1);
  for (std::size_t k = shape.size(); k-- > 1;) strides[k - 1] = strides[k] * shape[k];
  return strides;
}

/// Whether an array with these strides is one of them.
bool follow(const std::vector<Index>& shape, const Index* strides) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return true;
  const std::vector<Index> wanted = by_rows(shape);
  for (std::size_t k = 0; k < shape.size(); ++k) {
    if (shape[k] > 1 && strides[k] != wanted[k]) return false;
  }
  return true;
}

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw py::type_error(name + " " + why);
}

Described from_interface(const py::object& array, const py::dict& given, const std::string& name) {
  Described d;
  const auto data = given["data"].cast<py::tuple>();
  d.data = reinterpret_cast<void*>(data[0].cast<std::uintptr_t>());
  d.read_only = data[1].cast<bool>();
  d.type = given["typestr"].cast<std::string>();
  d.shape = given["shape"].cast<std::vector<Index>>();
  if (given.contains("mask") && !given["mask"].is_none()) refuse(name, "is masked");
  if (given.contains("strides") && !given["strides"].is_none()) {
    auto strides = given["strides"].cast<std::vector<Index>>();
    for (Index& stride : strides) stride /= std::stoll(d.type.substr(2));
    d.contiguous = follow(d.shape, strides.data());
  }
  d.owner = keep(array);
  if (d.data != nullptr && device::backend().locate(d.data, &d.device) != device::Error::none) {
    throw DeviceError(name + ": " + device::backend().message());
  }
  return d;
}

template <class M>
Described from_tensor(const py::capsule& capsule, const char* used, const std::string& name) {
  auto* managed = capsule.get_pointer<M>();
  PyCapsule_SetName(capsule.ptr(), used);
  // From here on the tensor is ours to delete.
  const std::shared_ptr<void> owner(managed, [](void* p) {
    const py::gil_scoped_acquire gil;
    auto* m = static_cast<M*>(p);
    if (m->deleter != nullptr) m->deleter(m);
  });
  if constexpr (requires { managed->version; }) {
    if (managed->version.major != 1) refuse(name, "speaks another version of DLPack than 1");
  }
  const dlpack::Tensor& t = managed->tensor;
  Described d;
  d.owner = owner;
  d.data = static_cast<char*>(t.data) + t.byte_offset;
  d.device = t.device.type == dlpack::kCuda ? t.device.id : -1;
  if constexpr (requires { managed->flags; }) d.read_only = (managed->flags & 1u) != 0u;
  d.shape.assign(t.shape, t.shape + t.ndim);
  const char kind = t.dtype.code == 2 ? 'f' : t.dtype.code == 5 ? 'c' : '?';
  d.type = std::string("<") + kind + std::to_string(t.dtype.bits / 8);
  if (t.strides != nullptr) d.contiguous = follow(d.shape, t.strides);
  return d;
}

Described describe(const py::object& array, const std::string& name, void* stream) {
  if (py::isinstance<DeviceArray>(array)) {
    const auto& a = array.cast<const DeviceArray&>();
    Described d;
    d.data = a.data;
    d.device = a.queue->device();
    d.type = a.type;
    d.shape = a.dimensions();
    d.contiguous = follow(d.shape, a.strides().data());
    d.owner = a.owner;
    return d;
  }
  if (py::hasattr(array, "__cuda_array_interface__")) {
    return from_interface(array, array.attr("__cuda_array_interface__").cast<py::dict>(), name);
  }
  if (!py::hasattr(array, "__dlpack__")) {
    refuse(name,
           "is no array in device memory: it has neither __cuda_array_interface__ nor "
           "__dlpack__");
  }
  // 0 is ambiguous to DLPack: 1 is the default stream.
  const auto number = reinterpret_cast<std::uintptr_t>(stream);
  const py::int_ wanted(number == 0 ? 1 : number);
  py::object capsule;
  try {
    capsule = array.attr("__dlpack__")(py::arg("stream") = wanted,
                                       py::arg("max_version") = py::make_tuple(1, 1));
  } catch (py::error_already_set& e) {
    if (!e.matches(PyExc_TypeError)) throw;
    capsule = array.attr("__dlpack__")(py::arg("stream") = wanted);  // from before version 1
  }
  const auto held = capsule.cast<py::capsule>();
  if (std::strcmp(held.name(), "dltensor_versioned") == 0) {
    return from_tensor<dlpack::ManagedVersioned>(held, "used_dltensor_versioned", name);
  }
  return from_tensor<dlpack::Managed>(held, "used_dltensor", name);
}

std::vector<Index> strides_in_bytes(const DeviceArray& a) {
  std::vector<Index> strides = a.strides();
  for (Index& stride : strides) stride *= std::stoll(a.type.substr(2));
  return strides;
}

py::object to_dlpack(const DeviceArray& a, const py::object& stream,
                     const py::object& max_version) {
  const auto held_queue = exclusive(a.queue);
  a.queue->flush();
  // Whoever asks for another stream gets finished values.
  const auto ours = reinterpret_cast<std::uintptr_t>(a.queue->stream());
  if (stream.is_none() ||
      (stream.cast<long long>() != -1 && stream.cast<std::uintptr_t>() != (ours == 0 ? 1 : ours))) {
    const py::gil_scoped_release release;
    a.queue->wait();
  }
  struct Held {
    DeviceArray array;
    std::vector<Index> shape, strides;
    dlpack::Managed plain;
    dlpack::ManagedVersioned versioned;
  };
  auto held = std::make_unique<Held>();
  held->array = a;
  held->shape = a.dimensions();
  held->strides = a.strides();
  const auto bytes = static_cast<std::uint8_t>(std::stoi(a.type.substr(2)));
  const dlpack::DataType dtype{static_cast<std::uint8_t>(a.type[1] == 'f' ? 2 : 5),
                               static_cast<std::uint8_t>(8 * bytes), 1};
  const dlpack::Tensor tensor{a.data,
                              {dlpack::kCuda, a.queue->device()},
                              static_cast<std::int32_t>(held->shape.size()),
                              dtype,
                              held->shape.data(),
                              held->strides.data(),
                              0};
  const auto capsule = [](auto* managed, const char* name) {
    using M = std::remove_pointer_t<decltype(managed)>;
    managed->deleter = [](M* m) { delete static_cast<Held*>(m->context); };
    return py::reinterpret_steal<py::object>(PyCapsule_New(managed, name, [](PyObject* c) {
      const char* now = PyCapsule_GetName(c);
      if (std::strncmp(now, "used", 4) == 0) return;  // somebody took it
      auto* m = static_cast<M*>(PyCapsule_GetPointer(c, now));
      m->deleter(m);
    }));
  };
  Held* const h = held.release();
  if (!max_version.is_none() && max_version.cast<py::tuple>()[0].cast<int>() >= 1) {
    h->versioned = {{1, 0}, h, nullptr, 0, tensor};
    return capsule(&h->versioned, "dltensor_versioned");
  }
  h->plain = {tensor, h, nullptr};
  return capsule(&h->plain, "dltensor");
}

}  // namespace

QueueLock::Hold::Hold(std::shared_ptr<QueueLock> lock) : lock_(std::move(lock)) {
  if (lock_->running_.try_lock()) return;
  const py::gil_scoped_release release;
  lock_->running_.lock();
}

QueueLock::Hold::~Hold() {
  lock_->empty();
  lock_->running_.unlock();
}

std::shared_ptr<QueueLock> QueueLock::of(const std::shared_ptr<device::DeviceQueue>& queue) {
  static std::mutex mutex;
  static std::map<std::weak_ptr<device::DeviceQueue>, std::shared_ptr<QueueLock>, std::owner_less<>>
      locks;
  const std::lock_guard guard(mutex);
  std::erase_if(locks, [](const auto& known) { return known.first.expired(); });
  std::shared_ptr<QueueLock>& lock = locks[queue];
  if (!lock) lock = std::make_shared<QueueLock>();
  return lock;
}

void QueueLock::release(std::shared_ptr<void> memory) {
  if (running_.try_lock()) {
    memory.reset();
    running_.unlock();
    return;
  }
  const std::lock_guard guard(mutex_);
  returned_.push_back(std::move(memory));
}

void QueueLock::empty() {
  std::vector<std::shared_ptr<void>> returned;
  {
    const std::lock_guard guard(mutex_);
    returned.swap(returned_);
  }
}

DeviceArray take_array(const py::object& array, const std::string& name,
                       const std::shared_ptr<device::DeviceQueue>& queue) {
  Described d = describe(array, name, queue->stream());
  if (d.data != nullptr && d.device != queue->device()) {
    refuse(name, (d.device < 0 ? std::string("is in host memory")
                               : "is on device " + std::to_string(d.device)) +
                     ", but this run works on device " + std::to_string(queue->device()) +
                     ": move it there");
  }
  if (!d.contiguous) refuse(name, "has gaps between its elements: pass a contiguous copy");
  if (reinterpret_cast<std::uintptr_t>(d.data) % std::stoul(d.type.substr(2)) != 0) {
    refuse(name, "does not start at a multiple of its elements' size: pass a copy");
  }
  Index size = 1;
  for (const Index k : d.shape) size *= k;
  return {d.data, size, std::move(d.type), queue, std::move(d.owner), std::move(d.shape)};
}

std::vector<Index> DeviceArray::strides() const {
  std::vector<Index> lengths = dimensions();
  if (by_columns) std::reverse(lengths.begin(), lengths.end());
  std::vector<Index> strides = by_rows(lengths);
  if (by_columns) std::reverse(strides.begin(), strides.end());
  return strides;
}

DeviceArray new_array(const std::shared_ptr<device::DeviceQueue>& queue, std::string type,
                      std::size_t size, Index n) {
  auto memory = queue->allocate(static_cast<std::size_t>(n) * size);
  void* data = memory.get();
  std::shared_ptr<void> owner(data, [lock = QueueLock::of(queue), memory](void*) mutable {
    lock->release(std::move(memory));
  });
  memory.reset();
  return {data, n, std::move(type), queue, std::move(owner)};
}

void bind_device(py::module_ m) {
  py::class_<DeviceArray>(m, "DeviceArray")
      .def_readonly("size", &DeviceArray::size)
      .def_property_readonly(
          "shape", [](const DeviceArray& a) { return py::tuple(py::cast(a.dimensions())); })
      .def_property_readonly("ndim", [](const DeviceArray& a) { return a.dimensions().size(); })
      .def_property_readonly("dtype", [](const DeviceArray& a) { return py::dtype(a.type); })
      .def_property_readonly("device", [](const DeviceArray& a) { return a.queue->device(); })
      .def_property_readonly(
          "__cuda_array_interface__",
          [](const DeviceArray& a) {
            const auto held = exclusive(a.queue);
            a.queue->flush();
            const auto stream = reinterpret_cast<std::uintptr_t>(a.queue->stream());
            py::dict d;
            d["shape"] = py::tuple(py::cast(a.dimensions()));
            d["typestr"] = a.type;
            d["data"] = py::make_tuple(reinterpret_cast<std::uintptr_t>(a.data), false);
            d["strides"] = py::none();
            if (a.by_columns) d["strides"] = py::tuple(py::cast(strides_in_bytes(a)));
            d["version"] = 3;
            // 0 is ambiguous. What is recorded needs no order, and must not be waited for.
            if (!a.queue->recording()) d["stream"] = stream == 0 ? 1 : stream;
            return d;
          })
      .def(
          "__dlpack__",
          [](const DeviceArray& a, const py::object& stream, const py::object& max_version,
             const py::object&, const py::object&) { return to_dlpack(a, stream, max_version); },
          py::kw_only(), py::arg("stream") = py::none(), py::arg("max_version") = py::none(),
          py::arg("dl_device") = py::none(), py::arg("copy") = py::none())
      .def("__dlpack_device__",
           [](const DeviceArray& a) { return py::make_tuple(dlpack::kCuda, a.queue->device()); })
      .def("row",
           [](const DeviceArray& a, Index j) {
             if (a.dimensions().size() != 2 || a.by_columns || j < 0 || j >= a.shape[0]) {
               throw py::index_error("the array has no row " + std::to_string(j));
             }
             DeviceArray b = a;
             b.size = a.shape[1];
             b.data = static_cast<char*>(a.data) + j * b.size * std::stoll(a.type.substr(2));
             b.shape.clear();
             return b;
           })
      .def("first",
           [](const DeviceArray& a, Index rows) {
             if (a.dimensions().size() != 2 || a.by_columns || rows < 0 || rows > a.shape[0]) {
               throw py::index_error("the array has no " + std::to_string(rows) + " rows");
             }
             DeviceArray b = a;
             b.shape[0] = rows;
             b.size = rows * b.shape[1];
             return b;
           })
      .def("reshape",
           [](const DeviceArray& a, std::vector<Index> shape) {
             Index size = 1;
             for (const Index k : shape) size = k < 0 ? -1 : size * k;
             if (size != a.size || shape.empty()) {
               throw py::value_error("the shape has another size than " + std::to_string(a.size));
             }
             if (a.by_columns) throw py::value_error("the array is transposed: reshape its T");
             DeviceArray b = a;
             b.shape = std::move(shape);
             return b;
           })
      .def_property_readonly(
          "is_by_rows",
          [](const DeviceArray& a) { return follow(a.dimensions(), a.strides().data()); })
      .def_property_readonly("T",
                             [](const DeviceArray& a) {
                               DeviceArray b = a;
                               std::reverse(b.shape.begin(), b.shape.end());
                               if (b.shape.size() > 1) b.by_columns = !a.by_columns;
                               return b;
                             })
      .def("copy_to_host",
           [](const DeviceArray& a) {
             py::array host(py::dtype(a.type), a.dimensions(), strides_in_bytes(a));
             void* const to = host.mutable_data();
             const auto bytes = static_cast<std::size_t>(host.nbytes());
             const auto held = exclusive(a.queue);
             const py::gil_scoped_release release;
             a.queue->download(a.data, to, bytes);
             return host;
           })
      .def("copy_from_host", [](const DeviceArray& a, const py::array& host) {
        if (!host.dtype().is(py::dtype(a.type)) && !host.dtype().equal(py::dtype(a.type))) {
          throw py::type_error("the array has another dtype");
        }
        const int order = a.by_columns ? py::array::f_style : py::array::c_style;
        if (host.size() != a.size || !(host.flags() & order)) {
          throw py::value_error("the array has another size, or gaps");
        }
        const auto held = exclusive(a.queue);
        a.queue->upload(a.data, host.data(),
                        static_cast<std::size_t>(host.size() * host.itemsize()));
      });

  m.def("empty_array", [](const py::dtype& dtype, Index n, std::int32_t device,
                          std::uintptr_t stream) {
    const std::string type = std::string("<") + dtype.kind() + std::to_string(dtype.itemsize());
    const auto queue = device::DeviceQueue::of(device, reinterpret_cast<void*>(stream));
    const auto held = exclusive(queue);
    return new_array(queue, type, static_cast<std::size_t>(dtype.itemsize()), n);
  });
  // (device, dtype, shape) of an array of any framework.
  m.def("describe_array", [](const py::object& array, const std::string& name) {
    const Described d = describe(array, name, nullptr);
    return py::make_tuple(d.device, d.type, d.shape);
  });
  m.def("devices", [] {
    const device::Backend& backend = device::backend();
    std::int32_t count = 0;
    if (backend.count(&count) != device::Error::none) throw DeviceUnavailable(backend.message());
    py::list all;
    for (std::int32_t k = 0; k < count; ++k) {
      device::Description d;
      if (backend.describe(k, &d) != device::Error::none) throw DeviceError(backend.message());
      py::dict one;
      one["name"] = d.name;
      one["capability"] = py::make_tuple(d.major, d.minor);
      one["processors"] = d.processors;
      one["memory"] = d.memory;
      one["runtime"] = d.runtime;
      one["driver"] = d.driver;
      all.append(one);
    }
    return all;
  });
}

}  // namespace ritz::python
