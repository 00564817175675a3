// A multilayer perceptron, forward beside backward, for one micro-batch at a time.
//
// A function of weights and micro-batch alone: same bits on every rank. Rows without a loss go
// along and contribute zeros. The activations of all layers are kept until the way back.
#pragma once

#include <vector>

#include "model/layers.hpp"
#include "model/model.hpp"

namespace evengrad {

template <class T>
class Mlp final : public Model<T> {
  public:
    Mlp(const MlpConfig& config, const ParameterTable& table);

    std::size_t scratch_bytes(const MicroBatchSize& size, bool backward) const override;
    LossSums forward(const T* weights, const MicroBatch& batch,
                     const DropoutKey& dropout = {}) override;
    /// Order of the gradients: layers from the last to the first, in each the norm's, the linear
    /// part's.
    LossSums forward_backward(const T* weights, const MicroBatch& batch, const DropoutKey& dropout,
                              GradientSink<T>& sink, LayerSink<T>* layers = nullptr) override;

    /// Outputs of the last layer. outputs: [rows, outputs()]
    void outputs(const T* weights, const MicroBatch& batch, T* outputs);

  private:
    struct Layer {
        Index weight;           ///< the tensor; its bias is the next
        Index norm = -1;        ///< likewise; -1: none
        bool residual = false;  ///< its input is added to its output
        // Of the micro-batch under way:
        T* input = nullptr;  ///< [rows, in]
        T* z = nullptr;      ///< [rows, out] W x + b
        T* mean = nullptr;   ///< [rows] of z, for the norm
        T* rstd = nullptr;   ///< [rows]
    };

    Arena& arena() override { return arena_; }
    bool is_hidden(Index layer) const { return layer + 1 < config_.layers(); }
    /// What the activation is applied to: z, or its norm in `normalized_`.
    const T* activation_input(const Parameters<T>& parameters, const Layer& layer, Index rows);
    /// All layers; returns the outputs, which stay until the caller's frame ends.
    T* forward_layers(const Parameters<T>& parameters, const MicroBatch& batch);
    LossSums loss(const MicroBatch& batch, T* outputs, bool gradient) const;
    void backward_layers(const Parameters<T>& parameters, const MicroBatch& batch,
                         const T* d_outputs, LayerSink<T>* sink);

    MlpConfig config_;
    const ParameterTable* table_;
    std::vector<Layer> layers_;
    Index widest_ = 0;         ///< hidden layer
    T* normalized_ = nullptr;  ///< [rows, widest]
    Arena arena_;
};

}  // namespace evengrad
