// What is trained: GPT-2's architecture, and the table of its parameters.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <evengrad/initialization.hpp>

namespace evengrad {

/// Shape of a GPT (Radford et al., "Language models are unsupervised multitask learners", 2019).
struct GptConfig {
    Index num_layers = 4;
    Index hidden_size = 128;
    Index ffn_hidden_size = 0;  ///< 0: four times hidden_size
    Index num_attention_heads = 4;
    Index seq_length = 128;  ///< longest sequence, tokens; also the number of learned positions
    Index vocab_size = 257;
    InitConfig init{};
    double dropout = 0.0;  ///< after the embedding, on attention weights, before each residual sum

    Index ffn_size() const { return ffn_hidden_size > 0 ? ffn_hidden_size : 4 * hidden_size; }
    Index head_size() const { return hidden_size / num_attention_heads; }

    /// All problems at once, each naming its option; empty when the configuration makes sense.
    std::vector<std::string> validate() const;

    /// Floating-point operations of forward and backward for one sequence: 2 a multiply-add, matrix
    /// products and causal attention (half of the square), backward counted as twice forward.
    /// `loss_rows` of its `length` positions reach the vocabulary head.
    double training_flops(Index length, Index loss_rows) const;
};

/// One parameter tensor, and where it lies in the flat array of all parameters.
struct Tensor {
    std::string name;          ///< e.g. "blocks.3.attn.qkv.weight"
    std::vector<Index> shape;  ///< [out, in] for a matrix, [size] for a vector
    Index offset = 0;          ///< first element in the flat array; a multiple of 16 (64 bytes)
    Index count = 0;           ///< elements
    Index first_block = 0;     ///< its blocks are first_block .. first_block + block_count - 1
    Index block_count = 0;
    bool decay = false;       ///< weight decay applies (matrices; not biases and norms)
    Initializer initializer;  ///< what it begins as
    Index contributions = 1;  ///< addends each element gets from one micro-batch, at most
};

/// A run of at most 65,536 elements of one tensor: the unit of locks, ownership, norms, optimizer.
struct Block {
    Index tensor = 0;
    Index begin = 0;  ///< in the flat array
    Index count = 0;
};

/// All parameter tensors in a fixed order, with their places in one flat array.
class ParameterTable {
  public:
    static constexpr Index block_size = 65536;

    explicit ParameterTable(const GptConfig& config);

    const std::vector<Tensor>& tensors() const { return tensors_; }
    const std::vector<Block>& blocks() const { return blocks_; }
    const Tensor& operator[](Index tensor) const {
        return tensors_[static_cast<std::size_t>(tensor)];
    }
    Index size() const { return static_cast<Index>(tensors_.size()); }
    /// Elements of the flat array, gaps between tensors included.
    Index flat_size() const { return flat_size_; }
    Index parameter_count() const;
    Index largest_tensor() const;  ///< elements
    /// The index of a name. @throws Error naming it when there is none.
    Index find(const std::string& name) const;

  private:
    Index add(std::string name, std::vector<Index> shape, bool decay, Initializer initializer,
              Index contributions = 1);

    std::vector<Tensor> tensors_;
    std::vector<Block> blocks_;
    Index flat_size_ = 0;
};

/// Initial values of elements [begin, begin + count) of the flat array, inside `tensor`. A pure
/// function of seed and element: any rank may fill any part, with the same bits. For a part of an
/// orthogonal matrix the whole is computed, 2 * count * min(rows, columns) operations in double and
/// 8 bytes an element.
void initialize(const Tensor& tensor, std::uint64_t seed, Index begin, float* values, Index count);

/// Part `part` of `parts` of a whole model's initial weights: those of all parts together fill the
/// flat array, each element once. Orthogonal matrices stay whole. weights: [flat_size]
void initialize(const ParameterTable& table, std::uint64_t seed, Index part, Index parts,
                float* weights);

}  // namespace evengrad
