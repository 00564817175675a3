#include "checkpoint/gradient_file.hpp"

#include <charconv>

#include "checkpoint/save.hpp"
#include "hdf5/nexus.hpp"
#include "hdf5/publish.hpp"

namespace evengrad {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view gradient_prefix = "gradients-";

}  // namespace

std::string gradient_file_name(std::int64_t step) {
    return fmt::format("{}{:08}.h5", gradient_prefix, step);
}

void write_gradient(const fs::path& file, const ParameterTable& table,
                    const SavedGradient& gradient) {
    hdf5::PublishedFile out(file);
    {
        hdf5::Group root = out.root();
        hdf5::write_root(out.root(), {"evengrad-gradient", "1.0", ""});
        const std::string path = fmt::format("gradients/raw/{}", gradient.step);
        hdf5::Group group = root.create_group(path);
        group.set({{"step", gradient.step},
                   {"norm_l2", gradient.norm},
                   {"denominator", gradient.denominator}});
        for (Index t = 0; t < table.size(); ++t)
            write_tensor(group, tensor_place(table[t].name), table[t], t,
                         gradient.values.subspan(static_cast<std::size_t>(table[t].offset),
                                                 static_cast<std::size_t>(table[t].count)));
    }
    out.publish();
}

void remove_gradients_after(const fs::path& folder, std::int64_t step) {
    for (const auto& entry : fs::directory_iterator(folder)) {
        const std::string name = entry.path().filename().string();
        if (!name.starts_with(gradient_prefix)) continue;
        std::int64_t of = 0;
        std::from_chars(name.data() + gradient_prefix.size(), name.data() + name.size(), of);
        if (gradient_file_name(of) == name && of > step) fs::remove(entry.path());
    }
}

}  // namespace evengrad
