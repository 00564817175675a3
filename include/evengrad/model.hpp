// What is trained: GPT-2's architecture or a multilayer perceptron, and the table of its
// parameters.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
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
    Activation activation = Activation::gelu_tanh;  ///< inside the MLP
    double negative_slope = 0.01;                   ///< of leaky_relu
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

/// What a multilayer perceptron's outputs are judged by.
enum class MlpLoss {
    cross_entropy,  ///< softmax over the outputs, one for each class; nats
    mse,            ///< mean over the outputs of the squared distance from the row's values
};
inline constexpr std::array mlp_loss_names = {"cross-entropy", "mse"};

enum class MlpNorm { none, layernorm };
inline constexpr std::array mlp_norm_names = {"none", "layernorm"};

/// Shape of a multilayer perceptron. Layer l of L, from 0, is z = W x + b; those before the last
/// give f(z) to the next, or f(norm(z)); with `residual` x + f(norm(z)) where input and output are
/// equally wide. The last gives z. A sample is a row of features.
struct MlpConfig {
    std::vector<Index> layer_widths;  ///< [L + 1] features, hidden layers, outputs
    Activation activation = Activation::tanh;
    double negative_slope = 0.01;  ///< of leaky_relu
    bool residual = false;
    MlpNorm norm = MlpNorm::none;
    MlpLoss loss = MlpLoss::cross_entropy;
    InitConfig init{};

    Index layers() const { return static_cast<Index>(layer_widths.size()) - 1; }
    Index width(Index layer) const { return layer_widths[static_cast<std::size_t>(layer)]; }
    Index features() const { return layer_widths.front(); }
    Index outputs() const { return layer_widths.back(); }

    /// All problems at once, each naming its option; empty when the configuration makes sense.
    std::vector<std::string> validate() const;
    /// Floating-point operations of forward and backward for one row: 2 a multiply-add, backward
    /// twice forward (without the first layer's input, which needs no gradient).
    double training_flops() const;
};

/// One of the architectures.
class ModelConfig {
  public:
    ModelConfig() = default;  ///< GptConfig's defaults
    ModelConfig(GptConfig config) : shape_(std::move(config)) {}
    ModelConfig(MlpConfig config) : shape_(std::move(config)) {}

    bool is_mlp() const { return std::holds_alternative<MlpConfig>(shape_); }
    /// @throws std::bad_variant_access for the other architecture.
    GptConfig& gpt() { return std::get<GptConfig>(shape_); }
    const GptConfig& gpt() const { return std::get<GptConfig>(shape_); }
    MlpConfig& mlp() { return std::get<MlpConfig>(shape_); }
    const MlpConfig& mlp() const { return std::get<MlpConfig>(shape_); }

    const char* name() const { return is_mlp() ? "mlp" : "gpt"; }
    Index seq_length() const { return is_mlp() ? 1 : gpt().seq_length; }  ///< a row is a position
    /// Classes or tokens that a position's target may be; 1 where targets are values.
    Index classes() const;
    double dropout() const { return is_mlp() ? 0.0 : gpt().dropout; }
    InitConfig& init() { return is_mlp() ? mlp().init : gpt().init; }
    const InitConfig& init() const { return is_mlp() ? mlp().init : gpt().init; }

    /// Of its matrices alone: what a file must have room for before a table of it is made.
    double least_parameters() const;

    std::vector<std::string> validate() const;
    /// Of one sequence of `length` positions, `loss_rows` of which carry a loss.
    double training_flops(Index length, Index loss_rows) const;

  private:
    std::variant<GptConfig, MlpConfig> shape_;
};

/// "gpt, 4 layers x 128, ...", for people.
std::string describe(const ModelConfig& config);

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

    explicit ParameterTable(const ModelConfig& config);

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
    void add_gpt(const GptConfig& config);
    void add_mlp(const MlpConfig& config);
    void add_norm(const std::string& name, Index size);
    void add_linear(const std::string& name, Index out, Index in, const Initializer& initializer);
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
