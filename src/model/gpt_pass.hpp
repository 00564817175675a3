// One micro-batch on its way through a Gpt: shared by gpt.cpp and gpt_ends.cpp only.
#pragma once

#include "model/gpt.hpp"

namespace evengrad {

template <class T>
struct Gpt<T>::Pass {
    Pass(const ParameterTable& table_, const T* weights_, const MicroBatch& batch_,
         const DropoutKey& dropout_, GradientSink<T>* sink_)
        : table(table_),
          weights(weights_),
          batch(batch_),
          dropout(dropout_),
          sink(sink_),
          tokens(static_cast<Index>(batch_.tokens.size())) {}

    const T* parameter(Index tensor) const { return weights + table[tensor].offset; }
    void emit(Index tensor, const T* values, Index count, Index offset = 0) {
        sink->add(tensor, offset, {values, static_cast<std::size_t>(count)});
    }

    const ParameterTable& table;
    const T* weights;
    MicroBatch batch;  ///< views; by value, as the next, so that temporaries may be passed
    DropoutKey dropout;
    GradientSink<T>* sink;
    LayerSink<T>* layers = nullptr;
    Index tokens;
    KeyValueCache<T>* cache = nullptr;  ///< of the one sequence whose tokens go on here

    std::vector<BlockActivations> blocks;
    T* output = nullptr;        ///< [N, hidden] of the last block
    T* normalized = nullptr;    ///< [N, hidden] a norm's output, recomputed where it is needed
    T* gradient = nullptr;      ///< the parameter gradient being made
    T* small = nullptr;         ///< gradients of vectors
    T* d_residual = nullptr;    ///< [N, hidden] gradient of the residual stream
    T* d_normalized = nullptr;  ///< [N, hidden]
    Index* order = nullptr;     ///< [N] positions, sorted by token
    T* head_rows = nullptr;     ///< head's gradient for the input's tokens, one row for each
};

}  // namespace evengrad
