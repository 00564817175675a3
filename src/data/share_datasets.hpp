// Datasets from rank 0, which alone reads files, to ranks that plan steps of their own.
#pragma once

#include <vector>

#include <evengrad/communicator.hpp>
#include <evengrad/dataset.hpp>

namespace evengrad {

/// @collective Rank 0's datasets, none of them scaled, on every rank of `ranks`. The others get the
/// files that they are parts of whole and in memory: the same tokens, rows, parts and digests; but
/// of documents they don't know the lines. A file that several datasets are of is sent once, in
/// pieces of 4 MiB. What the others give for `datasets` doesn't matter.
std::vector<Dataset> share_datasets(const Communicator& ranks, std::vector<Dataset> datasets);

}  // namespace evengrad
