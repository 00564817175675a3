#include "fuzz_layout/compare.hpp"

#include <algorithm>
#include <bit>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "checkpoint/folder.hpp"
#include "fuzz_layout/worker.hpp"
#include <evengrad/checkpoint.hpp>
#include <evengrad/error.hpp>

namespace evengrad::fuzz {

namespace fs = std::filesystem;

namespace {

/// "NAME is A in the reference and B here".
std::string differs(const std::string& name, const std::string& reference,
                    const std::string& here) {
    return fmt::format("{} is {} in the reference and {} here", name, reference, here);
}

std::string show(double value) {
    return fmt::format("{:a} ({:.9g})", value, value);
}
std::string show(std::int64_t value) {
    return std::to_string(value);
}

bool same(double a, double b) {
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}
bool same(std::int64_t a, std::int64_t b) {
    return a == b;
}

template <class T>
std::optional<std::string> curve(const char* name, const std::vector<T>& reference,
                                 const std::vector<T>& here) {
    if (reference.size() != here.size())
        return differs(fmt::format("the length of {}", name), std::to_string(reference.size()),
                       std::to_string(here.size()));
    for (std::size_t i = 0; i < here.size(); ++i)
        if (!same(reference[i], here[i]))
            return differs(fmt::format("{}[{}]", name, i), show(reference[i]), show(here[i]));
    return std::nullopt;
}

std::optional<std::string> state(const CheckpointState& reference, const CheckpointState& here,
                                 const ParameterTable& table) {
    const auto number = [](const char* name, std::int64_t a, std::int64_t b) {
        return a == b ? std::nullopt
                      : std::optional(differs(name, std::to_string(a), std::to_string(b)));
    };
    if (auto found = number("the number of updates", reference.updates, here.updates)) return found;
    if (auto found = number("the epoch", reference.epoch, here.epoch)) return found;
    if (reference.seed != here.seed)
        return differs("the seed", std::to_string(reference.seed), std::to_string(here.seed));
    if (reference.data_digest != here.data_digest)
        return differs("the data's digest", reference.data_digest, here.data_digest);
    if (reference.batches != here.batches)
        return differs("the batches", reference.batches, here.batches);
    for (Index t = 0; t < table.size(); ++t) {
        const auto i = static_cast<std::size_t>(t);
        if (auto found = number(fmt::format("{} (quantum exponent)", table[t].name).c_str(),
                                reference.quantum_exponents.at(i), here.quantum_exponents.at(i)))
            return found;
    }
    return std::nullopt;
}

std::optional<std::string> history(const TrainingHistory& reference, const TrainingHistory& here) {
    if (auto found = curve("step", reference.step, here.step)) return found;
    if (auto found = curve("loss", reference.loss, here.loss)) return found;
    if (auto found = curve("grad_norm", reference.grad_norm, here.grad_norm)) return found;
    if (auto found =
            curve("clipped_grad_norm", reference.clipped_grad_norm, here.clipped_grad_norm))
        return found;
    if (auto found = curve("lr", reference.lr, here.lr)) return found;
    if (auto found = curve("gradient_signal", reference.gradient_signal, here.gradient_signal))
        return found;
    if (auto found = curve("gradient_noise", reference.gradient_noise, here.gradient_noise))
        return found;
    if (auto found = curve("noise_scale", reference.noise_scale, here.noise_scale)) return found;
    if (auto found =
            curve("noise_scale_error", reference.noise_scale_error, here.noise_scale_error))
        return found;
    if (auto found = curve("skipped", reference.skipped, here.skipped)) return found;
    if (auto found = curve("loss_tokens", reference.loss_tokens, here.loss_tokens)) return found;
    if (auto found = curve("validation_step", reference.validation_step, here.validation_step))
        return found;
    if (auto found = curve("validation_loss", reference.validation_loss, here.validation_loss))
        return found;
    if (!(reference.statistics == here.statistics)) return "statistics of tensors differ";
    return std::nullopt;
}

/// The first bit of weights and moments, and how much differs after it.
std::optional<std::string> tensors(const fs::path& reference, const fs::path& here,
                                   const ParameterTable& table, int moments) {
    const char* parts[] = {"weights", "first moment", "second moment"};
    std::string first;
    Index elements = 0, different_tensors = 0;
    const CheckpointTensors expected(reference), found(here);
    for (const Tensor& tensor : table.tensors())
        for (int part = 0; part <= moments; ++part) {
            std::vector<float> a(static_cast<std::size_t>(tensor.count)), b(a.size());
            expected.read(tensor, static_cast<TensorPart>(part), a);
            found.read(tensor, static_cast<TensorPart>(part), b);
            Index different = 0;
            for (std::size_t i = 0; i < a.size(); ++i) {
                const auto bits =
                    std::bit_cast<std::uint32_t>(a[i]) ^ std::bit_cast<std::uint32_t>(b[i]);
                if (bits == 0) continue;
                ++different;
                if (first.empty())
                    first =
                        differs(fmt::format("{}[{}] ({})", tensor.name, i, parts[part]),
                                show(static_cast<double>(a[i])), show(static_cast<double>(b[i]))) +
                        fmt::format(", bits {:08x} differ", bits);
            }
            elements += different;
            different_tensors += different > 0;
        }
    if (first.empty()) return std::nullopt;
    return fmt::format("{}; in all {} value{} of {} tensor{}", first, elements,
                       elements == 1 ? "" : "s", different_tensors,
                       different_tensors == 1 ? "" : "s");
}

}  // namespace

std::vector<Witnessed> read_witness(const fs::path& run) {
    std::vector<Witnessed> all;
    for (std::size_t segment = 0; segment < 100; ++segment) {
        std::ifstream in(witness_file(run, segment));
        // A line that a kill cut off has no end.
        for (std::string line; std::getline(in, line) && !in.eof();) {
            std::istringstream words(line);
            Witnessed entry;
            if (words >> entry.step >> entry.name >> entry.value) all.push_back(std::move(entry));
        }
    }
    return all;
}

std::int64_t least_micro_batches(const fs::path& run) {
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (const Witnessed& entry : read_witness(run))
        if (entry.name == "micro_batches")
            least = std::min(least, std::int64_t{std::stol(entry.value)});
    return least;
}

std::optional<std::string> first_difference_witnessed(const fs::path& reference,
                                                      const fs::path& run) {
    // In the order in which a step is done, with what a run said of it, perhaps more than once.
    using Place = std::pair<std::int64_t, std::string>;
    std::map<Place, std::set<std::string>> said;
    for (const Witnessed& entry : read_witness(run))
        said[{entry.step, entry.name}].insert(entry.value);
    std::optional<std::string> found;
    std::int64_t found_step = std::numeric_limits<std::int64_t>::max();
    const auto find = [&](std::int64_t step, const std::string& text) {
        if (step >= found_step) return;
        found_step = step;
        found = fmt::format("step {}: {}", step, text);
    };
    for (const Witnessed& entry : read_witness(reference)) {
        const auto here = said.find({entry.step, entry.name});
        if (here == said.end()) {
            find(entry.step, differs(entry.name, entry.value, "missing"));
            continue;
        }
        here->second.erase(entry.value);
        if (!here->second.empty())
            find(entry.step, differs(entry.name, entry.value, *here->second.begin()));
        said.erase(here);
    }
    for (const auto& [place, values] : said)
        find(place.first, differs(place.second, "missing", *values.begin()));
    return found;
}

std::optional<std::string> first_difference_saved(const fs::path& reference, const fs::path& run,
                                                  std::int64_t last_step) {
    const std::vector<std::int64_t> steps = saved_steps(run);
    if (steps.empty() || steps.back() != last_step)
        return fmt::format("there is no checkpoint of the last step, {}", last_step);
    for (const std::int64_t step : steps) {
        const fs::path a = reference / checkpoint_name(step), b = run / checkpoint_name(step);
        const CheckpointInfo before = read_checkpoint_info(a), here = read_checkpoint_info(b);
        const ParameterTable table(here.model);
        auto found = tensors(a, b, table, here.moments);
        if (!found) found = state(before.state, here.state, table);
        if (!found) found = history(before.history, here.history);
        if (!found && step == last_step && checkpoint_digest(before) != checkpoint_digest(here))
            found = "the digests differ, and nothing else that is compared";
        if (found) return fmt::format("checkpoint of step {}: {}", step, *found);
    }
    return std::nullopt;
}

}  // namespace evengrad::fuzz
