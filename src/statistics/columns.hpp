// The numbers that are kept of a tensor at a step: what merging and files must know of each.
#pragma once

#include <span>

#include <evengrad/statistics.hpp>

namespace evengrad {

/// What becomes of two samples' numbers when they are merged; by the steps that each is of.
enum class Merging { root_mean_square, mean, least, most };

struct StatisticsColumn {
    const char* entry;  ///< "gradients" or "weights": what it is of
    const char* name;
    const char* units;
    const char* long_name;
    Merging merging;
    float& (*of)(TensorStatistics&);

    float value(const TensorStatistics& tensor) const {
        return of(const_cast<TensorStatistics&>(tensor));  // which `of` only names a part of
    }
};

/// All numbers of TensorStatistics.
std::span<const StatisticsColumn> statistics_columns();

}  // namespace evengrad
