// What an edit of an HDF5 file puts in place of something good. All ids are the caller's to close.
#pragma once

#include <string>

#include <hdf5.h>

#include "fuzz.hpp"

namespace evengrad::fuzz {

/// Null, scalar, or of up to 32 dimensions and 2^63 - 1 elements.
hid_t some_space(Choices& choices);
/// Elements of a space. Not what H5Sget_simple_extent_npoints says, which wraps around; more than
/// 64 bits have is the largest number.
std::size_t element_count(hid_t space);
/// One of 22 types.
hid_t some_type(Choices& choices);
/// Creation properties: layout, filters, fill value; also external storage and virtual datasets.
hid_t some_storage(Choices& choices, hid_t space);

/// Puts one value, often a nasty one, into numbers of `width` bytes.
void change_element(std::string& elements, std::size_t width, Choices& choices);
/// Puts another number in place of one in a JSON text, or changes it anywhere.
void change_text(std::string& text, Choices& choices);

}  // namespace evengrad::fuzz
