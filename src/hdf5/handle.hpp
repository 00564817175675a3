// Owners of HDF5 ids. An id is a plain number here, so that hdf5.h stays inside this room.
#pragma once

#include <cstdint>
#include <utility>

namespace evengrad::hdf5 {

/// What an id stands for; it decides how the id is closed. An `object` is a group or a dataset.
enum class IdKind { file, object, attribute, dataspace, datatype, property_list };

/// Closes an id. @throws Error when the library cannot (for a file: what was left to write).
void close_id(IdKind kind, std::int64_t id);
/// The same where nothing may be thrown.
void close_id_quietly(IdKind kind, std::int64_t id) noexcept;

/// Owns one id. Move-only. `close()` reports failures, the destructor cannot.
template <IdKind kind>
class Handle {
  public:
    Handle() noexcept = default;
    explicit Handle(std::int64_t id) noexcept : id_(id) {}
    Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, none)) {}
    Handle& operator=(Handle&& other) noexcept {
        if (this != &other) {
            if (*this) close_id_quietly(kind, id_);
            id_ = std::exchange(other.id_, none);
        }
        return *this;
    }
    ~Handle() {
        if (*this) close_id_quietly(kind, id_);
    }

    void close() {
        if (*this) close_id(kind, std::exchange(id_, none));
    }
    std::int64_t id() const noexcept { return id_; }
    explicit operator bool() const noexcept { return id_ >= 0; }

  private:
    static constexpr std::int64_t none = -1;
    std::int64_t id_ = none;
};

using FileHandle = Handle<IdKind::file>;
using ObjectHandle = Handle<IdKind::object>;
using AttributeHandle = Handle<IdKind::attribute>;
using SpaceHandle = Handle<IdKind::dataspace>;
using TypeHandle = Handle<IdKind::datatype>;
using PropertyHandle = Handle<IdKind::property_list>;

}  // namespace evengrad::hdf5
