#include "model/mlp.hpp"

#include <evengrad/error.hpp>

namespace evengrad {

std::vector<std::string> MlpConfig::validate() const {
    return {};
}

double MlpConfig::training_flops() const {
    return 0.0;
}

template <class T>
Mlp<T>::Mlp(const MlpConfig& config, const ParameterTable& table)
    : config_(config), table_(&table) {}

template <class T>
std::size_t Mlp<T>::scratch_bytes(const MicroBatchSize&, bool) const {
    return 0;
}

template <class T>
LossSums Mlp<T>::forward(const T*, const MicroBatch&, const DropoutKey&) {
    return {};
}

template <class T>
LossSums Mlp<T>::forward_backward(const T*, const MicroBatch&, const DropoutKey&, GradientSink<T>&,
                                  LayerSink<T>*) {
    return {};
}

template <class T>
void Mlp<T>::outputs(const T*, const MicroBatch&, T*) {}

template class Mlp<float>;
template class Mlp<double>;

}  // namespace evengrad
