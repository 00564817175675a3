// Checkpoints with edits (hdf5_image.hpp), read as on resume: notes, state, curves, every tensor.
//
// The good checkpoint is one that the program saved; EVENGRAD_FUZZ_CHECKPOINT names it (./run makes
// one).
#include <fstream>
#include <iterator>

#include "base/digest.hpp"
#include "hdf5_choices.hpp"
#include "hdf5_image.hpp"
#include "model/layer_sink.hpp"
#include "optimizer/kinds.hpp"
#include <evengrad/checkpoint.hpp>

namespace evengrad::fuzz {
namespace {

std::string good_checkpoint() {
    const char* const path = std::getenv("EVENGRAD_FUZZ_CHECKPOINT");
    std::ifstream in(path != nullptr ? path : "", std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    if (bytes.empty()) {
        std::fputs("EVENGRAD_FUZZ_CHECKPOINT must name a checkpoint\n", stderr);
        std::exit(2);
    }
    return bytes;
}

/// Gives a tensor, whatever it is now, its checksum.
void repair(hid_t file, const std::string& changed) {
    const hid_t tensor = H5Oopen(file, changed.c_str(), H5P_DEFAULT);
    if (tensor < 0) return;
    if (H5Iget_type(tensor) == H5I_DATASET && H5Aexists(tensor, "crc32c") > 0) {
        const hid_t attribute = H5Aopen(tensor, "crc32c", H5P_DEFAULT);
        const std::string elements = raw_elements(tensor);
        const std::uint32_t sum = crc32c(std::as_bytes(std::span(elements)));
        const hid_t space = H5Aget_space(attribute);
        if (!elements.empty() && element_count(space) == 1)
            H5Awrite(attribute, H5T_NATIVE_UINT32, &sum);
        H5Sclose(space);
        H5Aclose(attribute);
    }
    H5Oclose(tensor);
}

void use(const CheckpointInfo& info) {
    FUZZ_CHECK(info.model.validate().empty());
    const OptimizerFacts* optimizer = find_optimizer(info.optimizer);
    FUZZ_CHECK(optimizer && info.moments == static_cast<int>(optimizer->moments.size()));
    FUZZ_CHECK(info.state.step >= 0 && info.state.updates >= 0 && info.state.epoch >= 0);
    FUZZ_CHECK(info.state.updates <= info.state.step);
    const ParameterTable table(info.model);
    FUZZ_CHECK(info.state.quantum_exponents.size() == static_cast<std::size_t>(table.size()));
    const std::size_t steps = info.history.step.size();
    FUZZ_CHECK(info.history.loss.size() == steps && info.history.lr.size() == steps);
    FUZZ_CHECK(info.history.validation_step.size() == info.history.validation_loss.size());
    const std::size_t layers = activation_layers(info.model).size();
    for (const auto& sample : info.history.statistics.samples)
        FUZZ_CHECK(sample.step <= info.state.step &&
                   sample.tensors.size() == static_cast<std::size_t>(table.size()) &&
                   sample.layers.size() == layers);
    for (const auto& histogram : info.history.statistics.histograms)
        FUZZ_CHECK(histogram.gradient_counts.size() == static_cast<std::size_t>(table.size()) &&
                   histogram.weight_counts.size() == static_cast<std::size_t>(table.size()));
    refused([&] { make_tokenizer(info.state.tokenizer); });
    std::string digest;
    if (!refused([&] { digest = checkpoint_digest(info); })) FUZZ_CHECK(digest.size() == 32);
}

void check(Choices choices) {
    static const Hdf5Image image(good_checkpoint());
    static const CaseFile file(".h5");
    const bool raw = std::getenv("EVENGRAD_FUZZ_RAW") != nullptr;
    const auto& path = file.write(raw ? image.patched(choices) : image.edited(choices, repair));
    CheckpointInfo info;
    if (refused([&] { info = read_checkpoint_info(path); })) return;
    use(info);
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
