// The numbers that are kept of a tensor or layer at a step: what merging and files must know of
// each.
#pragma once

#include <span>

#include <evengrad/statistics.hpp>

namespace evengrad {

/// What becomes of two samples' numbers when they are merged; by the steps that each is of.
enum class Merging { root_mean_square, mean, least, most };

/// A number of `Statistics`.
template <class Statistics, class Number>
struct StatisticsColumn {
    const char* entry;  ///< "gradients", "weights" or "activations": what it is of
    const char* name;
    const char* units;
    const char* long_name;
    Merging merging;
    bool logarithmic;  ///< small numbers and huge ones side by side
    Number& (*of)(Statistics&);

    Number value(const Statistics& statistics) const {
        return of(const_cast<Statistics&>(statistics));  // which `of` only names a part of
    }
};
using TensorColumn = StatisticsColumn<TensorStatistics, float>;
using LayerColumn = StatisticsColumn<LayerStatistics, double>;

/// All numbers of TensorStatistics, of LayerStatistics.
std::span<const TensorColumn> tensor_columns();
std::span<const LayerColumn> layer_columns();

}  // namespace evengrad
