#include "model/mlp.hpp"

#include <algorithm>

#include "kernels/activations.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

template <class T>
Mlp<T>::Mlp(const MlpConfig& config, const ParameterTable& table)
    : config_(config), table_(&table) {
    for (Index l = 0; l < config.layers(); ++l) {
        const std::string name = fmt::format("layers.{}", l);
        Layer layer{.weight = table.find(name + ".weight")};
        if (is_hidden(l)) {
            if (config.norm == MlpNorm::layernorm) layer.norm = table.find(name + ".norm.weight");
            layer.residual = config.residual && config.width(l) == config.width(l + 1);
            widest_ = std::max(widest_, config.width(l + 1));
        }
        layers_.push_back(layer);
    }
}

template <class T>
std::size_t Mlp<T>::scratch_bytes(const MicroBatchSize& size, bool backward) const {
    const Index n = size.tokens;
    const auto room = [](Index count) { return arena_bytes<T>(count); };
    const bool norms = config_.norm == MlpNorm::layernorm;
    std::size_t bytes = norms ? room(n * widest_) : 0;  // normalized
    for (Index l = 0; l < config_.layers(); ++l)
        bytes += room(n * config_.width(l)) + room(n * config_.width(l + 1)) +
                 (norms && is_hidden(l) ? 2 * room(n) : 0);
    if (backward) {
        bytes += room(table_->largest_tensor()) + 5 * room(n * widest_);
        if (norms) bytes += room(n * widest_) + room(4 * widest_);
    }
    return bytes;
}

template <class T>
const T* Mlp<T>::activation_input(const Parameters<T>& parameters, const Layer& layer, Index rows) {
    if (layer.norm < 0) return layer.z;
    norm(parameters, layer.norm, layer.z, layer.mean, layer.rstd, rows, normalized_);
    return normalized_;
}

template <class T>
T* Mlp<T>::forward_layers(const Parameters<T>& parameters, const MicroBatch& batch) {
    const auto n = static_cast<Index>(batch.tokens.size());
    EVENGRAD_CHECK(static_cast<Index>(batch.features.size()) == n * config_.features(),
                   "{} features for {} rows of {}", batch.features.size(), n, config_.features());
    if (config_.norm == MlpNorm::layernorm) normalized_ = arena_.take<T>(n * widest_);
    T* x = arena_.take<T>(n * config_.features());
    std::copy(batch.features.begin(), batch.features.end(), x);
    for (Index l = 0; l < config_.layers(); ++l) {
        Layer& layer = layers_[static_cast<std::size_t>(l)];
        const Index out = config_.width(l + 1);
        layer.input = x;
        layer.z = arena_.take<T>(n * out);
        linear(parameters, layer.weight, x, n, layer.z);
        if (!is_hidden(l)) break;
        if (layer.norm >= 0) {
            layer.mean = arena_.take<T>(n);
            layer.rstd = arena_.take<T>(n);
            layer_norm_statistics(layer.z, n, out, layer.mean, layer.rstd);
        }
        x = arena_.take<T>(n * out);
        activate(config_.activation, config_.negative_slope, activation_input(parameters, layer, n),
                 n * out, x);
        if (layer.residual) add_into(x, layer.input, n * out);
    }
    return layers_.back().z;
}

template <class T>
LossSums Mlp<T>::loss(const MicroBatch& batch, T* outputs, bool gradient) const {
    const auto n = static_cast<Index>(batch.tokens.size());
    const Index columns = config_.outputs();
    if (config_.loss == MlpLoss::cross_entropy)
        return cross_entropy(outputs, batch.targets.data(), batch.weights.data(), n, columns,
                             gradient);
    EVENGRAD_CHECK(static_cast<Index>(batch.values.size()) == n * columns,
                   "{} values for {} rows of {}", batch.values.size(), n, columns);
    return mean_squared_error(outputs, batch.values.data(), batch.weights.data(), n, columns,
                              gradient);
}

template <class T>
void Mlp<T>::backward_layers(const Parameters<T>& parameters, const MicroBatch& batch,
                             const T* d_outputs, LayerSink<T>* sink) {
    const auto n = static_cast<Index>(batch.tokens.size());
    T* activated = arena_.take<T>(n * widest_);
    T* derivative = arena_.take<T>(n * widest_);
    T* d_activation = arena_.take<T>(n * widest_);  // by the activation's input
    T* d_norm = config_.norm == MlpNorm::layernorm ? arena_.take<T>(n * widest_) : nullptr;
    T* d_output = arena_.take<T>(n * widest_);
    T* d_input = arena_.take<T>(n * widest_);
    for (Index l = config_.layers() - 1; l >= 0; --l) {
        const Layer& layer = layers_[static_cast<std::size_t>(l)];
        const Index count = n * config_.width(l + 1);
        const T* d_z = d_outputs;
        if (is_hidden(l)) {
            activate_with_derivative(config_.activation, config_.negative_slope,
                                     activation_input(parameters, layer, n), count, activated,
                                     derivative);
            std::copy_n(d_output, count, d_activation);
            multiply_into(d_activation, derivative, count);
            if (sink)
                sink->add(
                    l, {n, layer.input, activated, derivative, d_activation, batch.weights.data()});
            d_z = d_activation;
            if (layer.norm >= 0) {
                std::fill_n(d_norm, count, T(0));
                norm_backward(parameters, layer.norm, layer.z, layer.mean, layer.rstd, d_activation,
                              n, d_norm);
                d_z = d_norm;
            }
        }
        const bool first = l == 0;  // nobody asks for the gradient by features
        linear_backward(parameters, layer.weight, layer.input, d_z, n, first ? nullptr : d_input);
        if (layer.residual && !first) add_into(d_input, d_output, count);
        std::swap(d_input, d_output);
    }
}

template <class T>
LossSums Mlp<T>::forward(const T* weights, const MicroBatch& batch, const DropoutKey&) {
    const Arena::Frame frame(arena_);
    if (MicroBatchSize::of(batch).loss_rows == 0) return {};
    return loss(batch, forward_layers({*table_, weights}, batch), false);
}

template <class T>
LossSums Mlp<T>::forward_backward(const T* weights, const MicroBatch& batch, const DropoutKey&,
                                  GradientSink<T>& sink, LayerSink<T>* layers) {
    const Arena::Frame frame(arena_);
    if (MicroBatchSize::of(batch).loss_rows == 0) return {};  // all contributions are zero
    Parameters<T> parameters{*table_, weights, &sink};
    parameters.gradient = arena_.take<T>(table_->largest_tensor());
    if (config_.norm == MlpNorm::layernorm) parameters.small = arena_.take<T>(4 * widest_);
    T* outputs = forward_layers(parameters, batch);
    const LossSums sums = loss(batch, outputs, true);
    backward_layers(parameters, batch, outputs, layers);
    return sums;
}

template <class T>
void Mlp<T>::outputs(const T* weights, const MicroBatch& batch, T* outputs) {
    const Arena::Frame frame(arena_);
    const T* last = forward_layers({*table_, weights}, batch);
    std::copy_n(last, static_cast<Index>(batch.tokens.size()) * config_.outputs(), outputs);
}

template class Mlp<float>;
template class Mlp<double>;

}  // namespace evengrad
