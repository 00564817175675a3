#include "statistics/columns.hpp"

namespace evengrad {

namespace {

constexpr TensorColumn all_of_tensor[] = {
    {"gradients", "norm_l2", "1", "L2 norm of the gradient", Merging::root_mean_square, true,
     [](TensorStatistics& t) -> float& { return t.gradient.norm_l2; }},
    {"gradients", "mean", "1", "mean of the gradient", Merging::mean, false,
     [](TensorStatistics& t) -> float& { return t.gradient.mean; }},
    {"gradients", "std", "1", "standard deviation of the gradient", Merging::root_mean_square, true,
     [](TensorStatistics& t) -> float& { return t.gradient.std; }},
    {"gradients", "min", "1", "smallest element of the gradient", Merging::least, false,
     [](TensorStatistics& t) -> float& { return t.gradient.min; }},
    {"gradients", "max", "1", "largest element of the gradient", Merging::most, false,
     [](TensorStatistics& t) -> float& { return t.gradient.max; }},
    {"gradients", "zero_fraction", "1", "share of the gradient that is 0", Merging::mean, false,
     [](TensorStatistics& t) -> float& { return t.gradient.zero_fraction; }},
    {"gradients", "quantum_exponent", "log2", "exponent of the grid of the sums", Merging::most,
     false, [](TensorStatistics& t) -> float& { return t.quantum_exponent; }},
    {"gradients", "rounded_to_zero_fraction", "1", "share of addends that became 0 on the grid",
     Merging::mean, false,
     [](TensorStatistics& t) -> float& { return t.rounded_to_zero_fraction; }},
    {"weights", "norm_l2", "1", "L2 norm of the weights", Merging::root_mean_square, true,
     [](TensorStatistics& t) -> float& { return t.weights.norm_l2; }},
    {"weights", "mean", "1", "mean of the weights", Merging::mean, false,
     [](TensorStatistics& t) -> float& { return t.weights.mean; }},
    {"weights", "std", "1", "standard deviation of the weights", Merging::root_mean_square, true,
     [](TensorStatistics& t) -> float& { return t.weights.std; }},
    {"weights", "min", "1", "smallest weight", Merging::least, false,
     [](TensorStatistics& t) -> float& { return t.weights.min; }},
    {"weights", "max", "1", "largest weight", Merging::most, false,
     [](TensorStatistics& t) -> float& { return t.weights.max; }},
    {"weights", "zero_fraction", "1", "share of weights that are 0", Merging::mean, false,
     [](TensorStatistics& t) -> float& { return t.weights.zero_fraction; }},
    {"weights", "update_ratio", "1", "norm of the update / norm of the weights",
     Merging::root_mean_square, true, [](TensorStatistics& t) -> float& { return t.update_ratio; }},
};
static_assert(std::size(all_of_tensor) * sizeof(float) == sizeof(TensorStatistics));

constexpr LayerColumn all_of_layer[] = {
    {"activations", "forward_mean", "1", "mean of the activations", Merging::mean, false,
     [](LayerStatistics& l) -> double& { return l.forward_mean; }},
    {"activations", "forward_variance", "1", "variance of the activations", Merging::mean, true,
     [](LayerStatistics& l) -> double& { return l.forward_variance; }},
    {"activations", "backward_variance", "1", "variance of the back-propagated signal",
     Merging::mean, true, [](LayerStatistics& l) -> double& { return l.backward_variance; }},
    {"activations", "input_norm", "1", "norm of the layer's input", Merging::root_mean_square, true,
     [](LayerStatistics& l) -> double& { return l.input_norm; }},
    {"activations", "derivative_mean_square", "1", "mean square of the activation's derivative",
     Merging::mean, true, [](LayerStatistics& l) -> double& { return l.derivative_mean_square; }},
    {"activations", "saturated_fraction", "1", "share of activations that are saturated",
     Merging::mean, false, [](LayerStatistics& l) -> double& { return l.saturated_fraction; }},
    {"activations", "dead_fraction", "1", "share of units that are dead", Merging::mean, false,
     [](LayerStatistics& l) -> double& { return l.dead_fraction; }},
};
static_assert(std::size(all_of_layer) * sizeof(double) == sizeof(LayerStatistics));

}  // namespace

std::span<const TensorColumn> tensor_columns() {
    return all_of_tensor;
}

std::span<const LayerColumn> layer_columns() {
    return all_of_layer;
}

}  // namespace evengrad
