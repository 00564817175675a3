// A tokenizer's specification in an HDF5 file: checkpoints and prepared data have one each.
#pragma once

#include <string>

#include "hdf5/file.hpp"
#include <evengrad/tokenizer.hpp>

namespace evengrad {

/// Writes parent/tokenizer: an NXnote of JSON, and the model's bytes (u8) where there is one.
void write_tokenizer(hdf5::Group& parent, const TokenizerSpec& spec);

/// Reads it back. @throws Error for what is damaged; make_tokenizer says whether it makes sense.
TokenizerSpec read_tokenizer(const hdf5::Group& parent);

}  // namespace evengrad
