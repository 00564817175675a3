// Initial weights: schemes, what they make of one matrix, and gains by activation.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <Eigen/Core>

#include <evengrad/activation.hpp>

namespace evengrad {

using Index = Eigen::Index;

/// How the weight matrices of linear layers begin. A matrix is [out, in]: its fan-in is its
/// columns, its fan-out its rows. Embeddings, norms and biases have their own (see InitConfig).
enum class InitScheme {
    zeros,             ///< nothing is learned where a layer's input or gradient passes only zeros
    constant,          ///< one value: all units of a layer stay alike, which is what it shows
    uniform,           ///< U[-bound, bound]
    normal,            ///< N(0, std^2)
    truncated_normal,  ///< N(0, std^2) within 2 std; what remains has 0.8796 of std
    /// Variance gain^2 / fan-in (LeCun et al., "Efficient BackProp", 1998, section 4.6).
    lecun,
    /// Variance gain^2 * 2 / (fan-in + fan-out) (Glorot and Bengio, "Understanding the difficulty
    /// of training deep feedforward neural networks", 2010, eq. 16, which is the uniform form).
    xavier,
    /// Variance gain^2 / fan-in, where the gain is sqrt 2 (He, Zhang, Ren and Sun, "Delving deep
    /// into rectifiers", 2015, eq. 10, the normal form; with fan-out eq. 14).
    he,
    /// gain * Q with orthonormal rows, or columns if there are more rows (Saxe, McClelland and
    /// Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    /// networks", 2014): uniformly distributed over all such matrices.
    orthogonal,
    /// N(0, std^2), and std / sqrt(2 num_layers) for the layers whose output is added to the
    /// residual stream (Radford et al., "Language models are unsupervised multitask learners",
    /// 2019).
    gpt2,
};
inline constexpr std::array init_scheme_names = {
    "zeros", "constant", "uniform", "normal",     "truncated-normal",
    "lecun", "xavier",   "he",      "orthogonal", "gpt2"};

/// What lecun, xavier and he draw from: of equal variance.
enum class InitDistribution { normal, uniform };
inline constexpr std::array init_distribution_names = {"normal", "uniform"};

/// What lecun and he divide by: fan-in keeps the variance on the way forward, fan-out on the way
/// back. (xavier is the average, by definition.)
enum class InitFan { in, out, average };
inline constexpr std::array init_fan_names = {"in", "out", "average"};

/// By how much weights must be larger for an activation to keep its input's variance: those of
/// PyTorch's torch.nn.init.calculate_gain (identity 1, sigmoid 1, tanh 5/3, ReLU sqrt 2, leaky ReLU
/// sqrt(2 / (1 + slope^2)), SELU 3/4), and for those without one there, ELU, softplus, softsign,
/// GELU, SiLU: 1 / sqrt(E[f(z)^2]), z ~ N(0, 1), which keeps the mean square (He et al. 2015, eq. 8
/// to 10; for ReLU that, too, is sqrt 2).
double calculate_gain(Activation activation, double negative_slope = 0.01);

/// The choice of a run. What the scheme doesn't use has no effect.
struct InitConfig {
    InitScheme scheme = InitScheme::gpt2;
    double std = 0.02;      ///< of normal, truncated_normal and gpt2; and of embeddings, which are
                            ///< N(0, std^2) under every scheme (norms begin as 1, biases as 0)
    double bound = 0.0;     ///< of uniform; 0: 1/sqrt(fan-in), the heuristic of Glorot and Bengio's
                            ///< eq. 1, which lets gradients vanish
    double constant = 0.0;  ///< of constant
    InitDistribution distribution = InitDistribution::normal;
    InitFan fan = InitFan::in;
    /// Of lecun, xavier, he, orthogonal: "paper" (he sqrt 2, others 1), "activation" (that of what
    /// follows each layer), the name of an activation ("leaky-relu:SLOPE", too), or a number.
    std::string gain = "paper";

    /// All problems at once, each naming its option.
    std::vector<std::string> validate() const;
};

/// What one tensor begins as.
struct Initializer {
    enum class Kind { constant, uniform, normal, truncated_normal, orthogonal };
    Kind kind = Kind::constant;
    /// The constant; the bound of uniform; the standard deviation of normal and (before truncation)
    /// of truncated_normal; the gain of orthogonal.
    double scale = 0.0;
};

/// The gain that a configuration gives a layer before `activation`, whose slope below 0
/// (leaky_relu) is `negative_slope`. @throws Error naming --init-gain when it can't be understood.
double gain_of(const InitConfig& config, Activation activation, double negative_slope);

/// What a configuration makes of a weight matrix [rows, columns], given its gain_of. (The residual
/// layers of gpt2 are the model's to scale.)
Initializer initializer_of(const InitConfig& config, Index rows, Index columns, double gain);

/// "xavier (uniform, gain 1)": the scheme and the parameters that it uses.
std::string describe(const InitConfig& config);

}  // namespace evengrad
