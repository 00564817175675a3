// Which checkpoint a path means, and whether it can be relied on.
#include "checkpoint/folder.hpp"
#include <evengrad/error.hpp>

namespace evengrad {

namespace fs = std::filesystem;

namespace {

/// @throws Error for whatever is wrong with the file.
CheckpointInfo read_whole(const fs::path& file) {
    CheckpointInfo info = read_checkpoint_info(fs::canonical(file));
    const ParameterTable table(info.model);
    const CheckpointTensors tensors(info.path);
    std::vector<float> values(static_cast<std::size_t>(table.largest_tensor()));
    for (const Tensor& tensor : table.tensors())
        for (int part = 0; part <= info.moments; ++part)
            tensors.read(tensor, static_cast<TensorPart>(part),
                         std::span(values).first(static_cast<std::size_t>(tensor.count)));
    return info;
}

/// A file that was named, perhaps by a link to it: that one and no other.
CheckpointInfo read_named(const fs::path& path) {
    try {
        return read_whole(find_checkpoint(path));
    } catch (const Error& error) {
        std::error_code failed;
        if (fs::exists(path, failed) && fs::is_symlink(path, failed))
            throw Error(error.what(),
                        fmt::format("give the folder, {}, instead of a link in it: of a folder the "
                                    "newest checkpoint that can be used is taken",
                                    (path.parent_path() / "").string()));
        throw Error(error.what(), error.hint().empty()
                                      ? "it is no checkpoint, or a damaged one: use another"
                                      : error.hint());
    }
}

/// Files of a run's folder in the order in which they are tried: what `latest` says, then what was
/// saved before it. Without that link (the first save was cut off before it was made): all.
std::vector<fs::path> candidates(const fs::path& folder) {
    std::vector<fs::path> files;
    std::error_code no_link;
    const fs::path target = fs::read_symlink(folder / "latest", no_link);
    const auto latest = no_link ? std::nullopt : step_in_name(target);
    if (!no_link || fs::exists(folder / "latest"))
        files.push_back(folder / (no_link ? fs::path("latest") : target));
    const std::vector<std::int64_t> steps = saved_steps(folder);
    for (auto step = steps.rbegin(); step != steps.rend(); ++step)
        if (!latest || *step < *latest) files.push_back(folder / checkpoint_name(*step));
    return files;
}

}  // namespace

fs::path find_checkpoint(const fs::path& path) {
    std::error_code failed;
    const fs::path candidate = fs::is_directory(path, failed) ? path / "latest" : path;
    if (!fs::is_regular_file(candidate, failed))
        throw Error(
            fmt::format("there is no checkpoint at {}", candidate.string()),
            "name a checkpoint file (step-....h5) or the folder of a run that has saved; one that "
            "ended before its first checkpoint is started anew with --overwrite");
    return fs::canonical(candidate);
}

CheckpointInfo open_checkpoint(
    const fs::path& path,
    const std::function<void(const std::string&, const std::string&)>& report) {
    std::error_code failed;
    if (!fs::is_directory(path, failed)) return read_named(path);
    const std::vector<fs::path> files = candidates(path);
    if (files.empty()) return read_whole(find_checkpoint(path));  // says that there is none
    std::vector<std::string> reasons;
    for (const fs::path& file : files) {
        try {
            CheckpointInfo info = read_whole(find_checkpoint(file));
            for (const std::string& reason : reasons)
                report(fmt::format("passed over a checkpoint that can't be used: {}", reason),
                       fmt::format("it was left as it is; {} is used", info.path.string()));
            return info;
        } catch (const Error& error) {
            reasons.push_back(error.what());
        }
    }
    std::string message =
        fmt::format("none of the {} checkpoints in {} can be used:", files.size(), path.string());
    for (const std::string& reason : reasons) message += "\n  " + reason;
    throw Error(message, "go on from a copy of a checkpoint, or start anew with --overwrite");
}

}  // namespace evengrad
