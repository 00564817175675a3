// A multilayer perceptron, forward beside backward, for one micro-batch at a time.
#pragma once

#include <vector>

#include "model/model.hpp"

namespace evengrad {

template <class T>
class Mlp final : public Model<T> {
  public:
    Mlp(const MlpConfig& config, const ParameterTable& table);

    std::size_t scratch_bytes(const MicroBatchSize& size, bool backward) const override;
    LossSums forward(const T* weights, const MicroBatch& batch,
                     const DropoutKey& dropout = {}) override;
    LossSums forward_backward(const T* weights, const MicroBatch& batch, const DropoutKey& dropout,
                              GradientSink<T>& sink, LayerSink<T>* layers = nullptr) override;

    /// Outputs of the last layer. outputs: [rows, outputs()]
    void outputs(const T* weights, const MicroBatch& batch, T* outputs);

  private:
    Arena& arena() override { return arena_; }

    MlpConfig config_;
    const ParameterTable* table_;
    Arena arena_;
};

}  // namespace evengrad
