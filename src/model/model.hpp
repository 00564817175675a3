// What every architecture can do with a micro-batch: forward, and backward beside it.
#pragma once

#include <memory>

#include "base/aligned.hpp"
#include "kernels/rows.hpp"
#include "model/gradient_sink.hpp"
#include "model/layer_sink.hpp"
#include <evengrad/model.hpp>
#include <evengrad/plan.hpp>

namespace evengrad {

/// Sizes that decide how much scratch a micro-batch needs.
struct MicroBatchSize {
    Index tokens = 0;
    Index longest_sequence = 0;
    Index loss_rows = 0;

    static MicroBatchSize of(const MicroBatch& batch);
    /// The larger of each.
    void include(const MicroBatchSize& other);
};

/// A function of weights and micro-batch alone: same bits on every rank.
template <class T>
class Model {
  public:
    virtual ~Model() = default;

    /// Scratch that micro-batches of this size need, bytes: activations, and largest gradient.
    virtual std::size_t scratch_bytes(const MicroBatchSize& size, bool backward) const = 0;

    /// Makes room for micro-batches up to this size. The only function that allocates.
    void reserve(const MicroBatchSize& size, bool backward);
    std::size_t reserved_bytes() { return arena().capacity(); }

    /// `weights` is the flat parameter array.
    virtual LossSums forward(const T* weights, const MicroBatch& batch,
                             const DropoutKey& dropout = {}) = 0;

    /// The same, and the gradient of the loss into `sink`, always in one order; and what passes
    /// through the activation layers into `layers`, unless null.
    virtual LossSums forward_backward(const T* weights, const MicroBatch& batch,
                                      const DropoutKey& dropout, GradientSink<T>& sink,
                                      LayerSink<T>* layers = nullptr) = 0;

  private:
    virtual Arena& arena() = 0;  ///< the model's room
};

/// `table` must outlive the model.
template <class T>
std::unique_ptr<Model<T>> make_model(const ModelConfig& config, const ParameterTable& table);

}  // namespace evengrad
