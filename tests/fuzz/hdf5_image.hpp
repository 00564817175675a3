// A good HDF5 file in memory, and what hostile or careless programs make of it.
//
// Random bytes seldom get past the HDF5 library's own parser. So a case is a list of edits: each
// removes, replaces or changes an object or attribute of the good file through the library itself,
// in ways that it allows and a reader mustn't fall for.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <hdf5.h>

#include "fuzz.hpp"

namespace evengrad::fuzz {

class Hdf5Image {
  public:
    /// What no reader may ever open: names in links, external storage and virtual datasets.
    /// (A process that opens it ends, but for the edits themselves: see forbidden_files.cpp.)
    static constexpr const char* forbidden_file = "/tmp/evengrad-fuzz-forbidden.h5";

    explicit Hdf5Image(std::string bytes);

    /// Makes checksums right again after an edit of the object that was at this path.
    using Repair = std::function<void(hid_t file, const std::string& path)>;

    /// The file after the edits that `choices` say, until there are no more; each is repaired, if
    /// the first choice says so: a hostile file has right checksums.
    std::string edited(Choices& choices, const Repair& repair) const;
    /// The file with bytes replaced: triples of a place (two bytes, scaled to the file) and a
    /// value.
    std::string patched(Choices& choices) const;

  private:
    struct Object {
        std::string path;
        bool is_group = false;
        std::vector<std::string> attributes;
    };
    /// Gives the path of the object that was edited.
    const std::string& edit(hid_t file, Choices& choices) const;
    static herr_t add_object(hid_t file, const char* name, const H5O_info_t* info, void* objects);

    std::string bytes_;
    std::vector<Object> objects_;  ///< all but the root's path
};

/// Whether edits are being made, which may meet a link that an earlier one left.
extern bool is_editing;

/// All elements of a dataset as the bytes that they are in the file; empty for strings and what is
/// large.
std::string raw_elements(hid_t dataset);

}  // namespace evengrad::fuzz
