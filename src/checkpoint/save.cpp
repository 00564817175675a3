#include "checkpoint/save.hpp"

#include <algorithm>
#include <optional>

#include "base/digest.hpp"
#include "checkpoint/history_file.hpp"
#include "checkpoint/schema.hpp"
#include "data/tokenizer_note.hpp"
#include "hdf5/nexus.hpp"
#include "hdf5/publish.hpp"

namespace evengrad {

namespace {

hdf5::Shape file_shape(const Tensor& tensor) {
    hdf5::Shape shape;
    for (const Index extent : tensor.shape) shape.push_back(static_cast<std::uint64_t>(extent));
    return shape;
}

void write_note(hdf5::Group& parent, const std::string& name, const std::string& type,
                const std::string& data) {
    hdf5::Group note = parent.create_group(name, "NXnote");
    note.write_text("type", type);
    note.write_text("data", data);
}

void write_model(hdf5::Group& root, const ModelConfig& config, const TokenizerSpec& tokenizer) {
    hdf5::Group model = root.create_group("model");
    model.set("architecture", std::string(config.name()));
    write_note(model, "config", "application/json", schema::to_json(config));
    write_tokenizer(model, tokenizer);
}

void write_state(hdf5::Group& root, const CheckpointState& state) {
    hdf5::Group group = root.create_group("state");
    group.write_scalar("step", state.step);
    group.write_scalar("epoch", state.epoch);
    group.write_scalar("updates", state.updates);
    group.write_scalar("seed", state.seed);
    group.write("quantum_exponent", state.quantum_exponents, {state.quantum_exponents.size()});
    group.write_text("data_digest", state.data_digest);
    group.write_text("batches", state.batches);
    write_note(group, "options", "text/plain", state.options);
    if (state.scaling.kind == FeatureScalingKind::none) return;
    hdf5::Group scaling = group.create_group("input_normalization");
    scaling.write_text("kind", feature_scaling_names[static_cast<std::size_t>(state.scaling.kind)]);
    scaling.write("shift", state.scaling.shift, {state.scaling.shift.size()});
    scaling.write("scale", state.scaling.scale, {state.scaling.scale.size()});
}

}  // namespace

void write_tensor(hdf5::Group& parent, const std::string& path, const Tensor& tensor, Index index,
                  std::span<const float> values) {
    std::vector<std::string> dims{tensor.shape.size() == 2 ? "out" : "channel"};
    if (tensor.shape.size() == 2) dims.emplace_back("in");
    const hdf5::Attributes attributes{
        {"name", tensor.name},
        {"dims", dims},
        {"index", static_cast<std::int64_t>(index)},
        {schema::checksum_attribute, crc32c(std::as_bytes(values))},
    };
    parent.write(path, values, file_shape(tensor), attributes);
}

std::string tensor_place(const std::string& name) {
    std::string place = name;
    std::replace(place.begin(), place.end(), '.', '/');
    return place;
}

std::string tensor_path(const OptimizerFacts& optimizer, TensorPart part, const std::string& name) {
    const std::string place = tensor_place(name);
    if (part == TensorPart::weights) return "model/parameters/" + place;
    const auto which = static_cast<std::size_t>(part) - 1;
    EVENGRAD_CHECK(which < optimizer.moments.size(), "moment {} of {}", which, optimizer.name);
    return fmt::format("optimizer/{}/{}", optimizer.moments[which], place);
}

void write_checkpoint(const std::filesystem::path& file, const Snapshot& snapshot) {
    hdf5::PublishedFile out(file);
    {
        hdf5::Group root = out.root();
        hdf5::write_root(out.root(), {schema::name, schema::version, "training"});
        write_model(root, snapshot.model, snapshot.state.tokenizer);
        hdf5::Group optimizer = root.create_group("optimizer");
        const OptimizerFacts& facts = facts_of(snapshot.optimizer);
        optimizer.set("algorithm", std::string(facts.name));
        optimizer.set("step", snapshot.state.updates);
        write_state(root, snapshot.state);
        const ParameterTable& table = snapshot.table();
        write_training(root, snapshot.history);
        write_statistics(root, snapshot.model, snapshot.history.statistics);
        for (Index t = 0; t < table.size(); ++t)
            for (int i = 0; i <= snapshot.moments(); ++i) {
                const auto part = static_cast<TensorPart>(i);
                write_tensor(root, tensor_path(facts, part, table[t].name), table[t], t,
                             snapshot.values(table[t], part));
            }
    }
    out.publish();
}

void load_tensors(const std::filesystem::path& file, const RunTensors& tensors) {
    const ParameterTable& table = tensors.table;
    const bool root_rank = tensors.topology.world().rank() == 0;
    std::optional<const CheckpointTensors> stored;
    if (root_rank) stored.emplace(file);
    std::vector<float> values(root_rank ? static_cast<std::size_t>(table.largest_tensor()) : 0);
    for (const Tensor& tensor : table.tensors()) {
        const auto count = static_cast<std::size_t>(tensor.count);
        if (root_rank)
            stored->read(tensor, TensorPart::weights,
                         tensors.weights.subspan(static_cast<std::size_t>(tensor.offset), count));
        for (int which = 0; which < tensors.optimizer.moments(); ++which) {
            const auto whole = root_rank ? std::span(values).first(count) : std::span<float>();
            if (root_rank) stored->read(tensor, static_cast<TensorPart>(which + 1), whole);
            scatter_owned(tensors.topology, tensors.ownership, whole,
                          {tensor.first_block, tensor.first_block + tensor.block_count},
                          tensors.optimizer.moment(which));
        }
    }
}

std::string digest_state(
    const CheckpointState& state, const ParameterTable& table, int moments,
    const std::function<std::span<const float>(const Tensor&, TensorPart)>& fetch) {
    Digest digest;
    digest.add(state.step);
    digest.add(state.updates);
    digest.add(state.seed);
    for (const std::int32_t exponent : state.quantum_exponents) digest.add(exponent);
    for (const Tensor& tensor : table.tensors()) {
        digest.add(tensor.name);
        for (int part = 0; part <= moments; ++part)
            digest.add(fetch(tensor, static_cast<TensorPart>(part)));
    }
    return digest.hex();
}

}  // namespace evengrad
