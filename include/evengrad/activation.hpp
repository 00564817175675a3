// Activation functions: what stands between two linear layers.
#pragma once

#include <array>

namespace evengrad {

/// f(z), element by element.
enum class Activation {
    identity,
    sigmoid,  ///< 1 / (1 + exp(-z))
    tanh,
    relu,        ///< max(z, 0) (Nair and Hinton, "Rectified linear units improve restricted
                 ///< Boltzmann machines", 2010)
    leaky_relu,  ///< z, or slope z below 0 (Maas, Hannun and Ng, "Rectifier nonlinearities improve
                 ///< neural network acoustic models", 2013)
    elu,         ///< z, or exp(z) - 1 below 0 (Clevert, Unterthiner and Hochreiter, "Fast and
                 ///< accurate deep network learning by exponential linear units", 2016)
    selu,        ///< 1.0507 elu(z) with 1.6733 (exp(z) - 1) below 0 (Klambauer et al.,
                 ///< "Self-normalizing neural networks", 2017)
    softplus,    ///< log(1 + exp(z)) (Dugas et al., "Incorporating second-order functional
                 ///< knowledge for better option pricing", 2001)
    softsign,    ///< z / (1 + |z|) (Bergstra et al., "Quadratic polynomials learn better image
                 ///< features", 2009)
    gelu,        ///< z Phi(z), Phi the normal distribution (Hendrycks and Gimpel, "Gaussian error
                 ///< linear units", 2016)
    gelu_tanh,   ///< its approximation by tanh, which GPT-2 has
    silu,        ///< z sigmoid(z) (Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2018)
};
inline constexpr std::array activation_names = {"identity",   "sigmoid", "tanh",      "relu",
                                                "leaky-relu", "elu",     "selu",      "softplus",
                                                "softsign",   "gelu",    "gelu-tanh", "silu"};

}  // namespace evengrad
