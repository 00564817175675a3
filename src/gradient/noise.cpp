#include "gradient/noise.hpp"

namespace evengrad {

std::optional<GradientNoise> gradient_noise(const Ledger& ledger, double gradient_square) {
    double weight = 0.0, weight_squares = 0.0, token_squares = 0.0, norm_squares = 0.0;
    int parts = 0;
    for (const LedgerRow& row : ledger.rows()) {
        weight += row.weight;
        weight_squares += row.weight * row.weight;
        token_squares += row.squared_weight;
        norm_squares += row.squared_norm;
        parts += row.weight > 0.0;
    }
    if (parts < 2) return std::nullopt;
    GradientNoise found;
    found.signal = (gradient_square - norm_squares) / (weight * weight - weight_squares);
    found.noise = (norm_squares - weight_squares * found.signal) / token_squares;
    return found;
}

}  // namespace evengrad
