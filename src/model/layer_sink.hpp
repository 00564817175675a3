// What passes through a model's layers, for whoever wants to see more than the loss.
#pragma once

#include <string>
#include <vector>

#include <evengrad/model.hpp>

namespace evengrad {

/// A layer with an activation: y = f(z), z = W x + b (normalized, where the model does that).
struct ActivationLayer {
    std::string name;  ///< of its linear part: "layers.0", "blocks.3.mlp.fc"
    Index inputs = 0, units = 0;
    Activation activation = Activation::identity;
};

/// A model's layers with an activation, from input to output.
std::vector<ActivationLayer> activation_layers(const ModelConfig& config);

/// One of them in one micro-batch, all positions.
template <class T>
struct LayerValues {
    Index rows;            ///< positions
    const T* input;        ///< [rows, inputs] x
    const T* output;       ///< [rows, units] y
    const T* derivative;   ///< [rows, units] f'(z)
    const T* signal;       ///< [rows, units] gradient of the micro-batch's weighted loss by z
    const float* weights;  ///< [rows] of the positions' losses
};

/// Takes each activation layer of a micro-batch once, from the last to the first.
template <class T>
class LayerSink {
  public:
    virtual ~LayerSink() = default;
    virtual void add(Index layer, const LayerValues<T>& values) = 0;
};

}  // namespace evengrad
