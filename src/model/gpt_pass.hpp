// One micro-batch on its way through a Gpt: shared by gpt.cpp and gpt_ends.cpp only.
#pragma once

#include "model/gpt.hpp"
#include "model/layers.hpp"

namespace evengrad {

template <class T>
struct Gpt<T>::Pass : Parameters<T> {
    Pass(const ParameterTable& table_, const T* weights_, const MicroBatch& batch_,
         const DropoutKey& dropout_, GradientSink<T>* sink_)
        : Parameters<T>{table_, weights_, sink_},
          batch(batch_),
          dropout(dropout_),
          tokens(static_cast<Index>(batch_.tokens.size())) {}

    MicroBatch batch;  ///< views; by value, as the next, so that temporaries may be passed
    DropoutKey dropout;
    LayerSink<T>* layers = nullptr;
    Index tokens;
    KeyValueCache<T>* cache = nullptr;  ///< of the one sequence whose tokens go on here

    std::vector<BlockActivations> blocks;
    T* output = nullptr;        ///< [N, hidden] of the last block
    T* normalized = nullptr;    ///< [N, hidden] a norm's output, recomputed where it is needed
    T* d_residual = nullptr;    ///< [N, hidden] gradient of the residual stream
    T* d_normalized = nullptr;  ///< [N, hidden]
    Index* order = nullptr;     ///< [N] positions, sorted by token
    T* head_rows = nullptr;     ///< head's gradient for the input's tokens, one row for each
};

}  // namespace evengrad
