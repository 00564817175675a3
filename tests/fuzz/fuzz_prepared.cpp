// Prepared files with edits (hdf5_image.hpp). What is accepted keeps TokenStore's promises.
#include <fstream>
#include <iterator>

#include "base/digest.hpp"
#include "data/prepared_store.hpp"
#include "data/prepared_writer.hpp"
#include "hdf5_choices.hpp"
#include "hdf5_image.hpp"

namespace evengrad::fuzz {
namespace {

std::string prepared_file(const TokenizerSpec& spec) {
    const std::filesystem::path path =
        std::filesystem::temp_directory_path() / fmt::format("evengrad-fuzz-{}.h5", ::getpid());
    const auto tokenizer = make_tokenizer(spec);
    {
        PreparedWriter writer(path, tokenizer);
        const std::int32_t end = tokenizer->end_of_text();
        for (int d = 0; d < 6; ++d) {
            if (d == 0) writer.begin_file("a.jsonl");
            if (d == 4) writer.begin_file("b.txt");
            writer.begin_document(d < 4 ? d + 1 : 0);
            writer.add({&end, 1}, 0.0f);
            for (std::int32_t t = 0; t < 4 * d; ++t) {
                const std::int32_t token = 20 * d + t;
                writer.add({&token, 1}, t % 3 == 0 ? 0.0f : 0.5f);
            }
            writer.add({&end, 1}, 1.0f);
            writer.end_document();
        }
        writer.publish();
    }
    std::ifstream in(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    std::filesystem::remove(path);
    return bytes;
}

/// The digest of all but tokens and weights would refuse most edits, of which more is to be seen: a
/// file of version 1.0 has none.
void leave_out_description(hid_t file) {
    const hid_t version = H5Aopen(file, "schema_version", H5P_DEFAULT);
    if (version < 0) return;
    const hid_t type = H5Aget_type(version);
    const char* text = "1.0";
    if (H5Tis_variable_str(type) > 0) H5Awrite(version, type, &text);
    H5Tclose(type);
    H5Aclose(version);
}

/// Gives tokens and weights, whatever they are now, their checksums.
void repair(hid_t file, const std::string& changed) {
    leave_out_description(file);
    if (changed != "tokens" && changed != "weights" && !changed.starts_with("checksums")) return;
    for (const char* name : {"tokens", "weights"}) {
        const hid_t data = H5Dopen2(file, name, H5P_DEFAULT);
        const hid_t sums = H5Dopen2(file, (std::string("checksums/") + name).c_str(), H5P_DEFAULT);
        if (data >= 0 && sums >= 0) {
            const std::string elements = raw_elements(data);
            const std::uint32_t sum = crc32c(std::as_bytes(std::span(elements)));
            // Of small files, one; checksums that an edit gave another shape are left as they are.
            const hid_t space = H5Dget_space(sums);
            if (!elements.empty() && element_count(space) == 1)
                H5Dwrite(sums, H5T_NATIVE_UINT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, &sum);
            H5Sclose(space);
        }
        if (data >= 0) H5Dclose(data);
        if (sums >= 0) H5Dclose(sums);
    }
}

void use(const PreparedStore& store) {
    const auto offsets = store.offsets();
    const std::int64_t count = store.tokens();
    FUZZ_CHECK(store.documents() >= 1 && offsets.front() == 0 && store.digest().size() == 32);
    FUZZ_CHECK(store.totals().documents == store.documents() && store.totals().tokens == count);
    for (std::int64_t d = 0; d < store.documents(); ++d) {
        FUZZ_CHECK(offsets[static_cast<std::size_t>(d) + 1] >=
                   offsets[static_cast<std::size_t>(d)] + 2);
        FUZZ_CHECK(!store.place(d).empty());
    }
    // No more than the file can hold was promised, so it may be read at once.
    FUZZ_CHECK(static_cast<std::uint64_t>(count) <= store.file_size() / 6);
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
    std::vector<float> weights(static_cast<std::size_t>(count));
    if (refused([&] { store.read(0, tokens, weights); })) return;
    const std::int32_t end = store.tokenizer()->end_of_text();
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        FUZZ_CHECK(tokens[i] >= 0 && tokens[i] < store.tokenizer()->vocabulary_size());
        FUZZ_CHECK(weights[i] >= 0.0f && static_cast<double>(weights[i]) <= largest_weight);
        FUZZ_CHECK(round_weight(static_cast<double>(weights[i])) == weights[i]);
    }
    for (std::size_t d = 0; d + 1 < offsets.size(); ++d) {
        const auto begin = static_cast<std::size_t>(offsets[d]);
        const auto last = static_cast<std::size_t>(offsets[d + 1]) - 1;
        FUZZ_CHECK(tokens[begin] == end && tokens[last] == end && weights[begin] == 0.0f);
    }
}

void check(Choices choices) {
    static const Hdf5Image images[] = {Hdf5Image(prepared_file({"ids", 128, 7, ""})),
                                       Hdf5Image(prepared_file({}))};
    static const Hdf5Image wide_image(prepared_file({"ids", 65537, 7, ""}));
    static const CaseFile file(".h5");
    const unsigned which = choices.byte();
    // A large vocabulary takes long to build.
    const Hdf5Image& image = which == 255 ? wide_image : images[which % 2];
    const bool raw = std::getenv("EVENGRAD_FUZZ_RAW") != nullptr;
    const auto& path = file.write(raw ? image.patched(choices) : image.edited(choices, repair));
    std::unique_ptr<PreparedStore> store;
    if (refused([&] { store = std::make_unique<PreparedStore>(path.string()); })) return;
    FUZZ_CHECK(is_prepared_file(path));
    use(*store);
}

}  // namespace
}  // namespace evengrad::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    evengrad::fuzz::check({data, size});
    return 0;
}
