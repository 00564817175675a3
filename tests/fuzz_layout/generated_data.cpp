#include "fuzz_layout/generated_data.hpp"

#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <evengrad/error.hpp>

namespace evengrad::fuzz {

namespace {

using nlohmann::json;

/// The weight of an example or of a part of it: numbers whose sums a float could not hold.
double draw_weight(Draw& draw, GeneratedData& data) {
    const double weight = draw.one_of({0.0, 0.5, 0.25, 1.0 / 3.0, 0.1, 1.0, 3.0, 1e-7, 1000.0});
    data.zero |= weight == 0.0;
    data.fractional |= weight != std::floor(weight);
    return weight;
}

std::vector<double> draw_weights(Draw& draw, GeneratedData& data, std::size_t count) {
    std::vector<double> weights(count);
    for (double& weight : weights) weight = draw_weight(draw, data);
    return weights;
}

std::string draw_text(Draw& draw, std::int64_t length) {
    std::string text;
    for (std::int64_t i = 0; i < length; ++i)
        text += draw.chance(0.15) ? ' ' : static_cast<char>('a' + draw.between(0, 7));
    return text;
}

/// Documents of a line each.
class Lines {
  public:
    Lines(Draw& draw, GeneratedData& data, std::int64_t seq_length, std::int64_t ids)
        : draw_(draw), data_(data), seq_length_(seq_length), ids_(ids) {}

    std::string file(std::int64_t documents) {
        std::string bytes = line(3, true);  // with loss, whatever the others have
        for (std::int64_t i = 1; i < documents; ++i) bytes += line(length(), false);
        return bytes;
    }

  private:
    std::int64_t length() {
        if (draw_.chance(0.04)) {
            data_.giant = true;
            return seq_length_ * draw_.between(5, 20);
        }
        const std::int64_t drawn = draw_.skewed(1, 2 * seq_length_) - 1;
        data_.shortest |= drawn <= 1;
        return drawn;
    }

    std::string line(std::int64_t length, bool plain) {
        json object =
            ids_ > 0 ? ids(std::max<std::int64_t>(length, 1), plain) : text(length, plain);
        if (!plain && !object.contains("weights") && draw_.chance(0.2))
            object["weight"] = draw_weight(draw_, data_);
        return object.dump() + "\n";
    }

    json text(std::int64_t length, bool plain) {
        const std::int64_t prompt = draw_.between(0, length);
        json object;
        std::size_t segments = 1;
        switch (plain ? 0 : draw_.between(0, 2)) {
            case 0:
                object["text"] = draw_text(draw_, length);
                break;
            case 1:
                object["prompt"] = draw_text(draw_, prompt);
                object["completion"] = draw_text(draw_, length - prompt);
                segments = 2;
                break;
            default: {
                const char* answers = draw_.chance(0.2) ? "user" : "assistant";
                data_.masked |= answers == std::string("user");
                object["messages"] = {
                    {{"role", "user"}, {"content", draw_text(draw_, prompt)}},
                    {{"role", answers}, {"content", draw_text(draw_, length - prompt)}}};
                segments = 2;
            }
        }
        if (!plain && draw_.chance(0.2)) object["weights"] = draw_weights(draw_, data_, segments);
        return object;
    }

    json ids(std::int64_t length, bool plain) {
        std::vector<std::int64_t> ids, labels;
        const std::int64_t mask = plain ? 0 : draw_.between(0, 3);
        for (std::int64_t i = 0; i < length; ++i) {
            // Of a large vocabulary mostly the same few.
            ids.push_back(draw_.skewed(1, ids_ - 1) - 1);
            const bool loss =
                mask == 0 || (mask == 1 && 2 * i >= length) || (mask == 2 && draw_.chance(0.3));
            labels.push_back(loss ? ids.back() : -100);
        }
        data_.masked |= mask == 3;
        json object{{"input_ids", ids}};
        if (mask != 0) object["labels"] = labels;
        if (!plain && draw_.chance(0.2)) object["weights"] = draw_weights(draw_, data_, ids.size());
        return object;
    }

    Draw& draw_;
    GeneratedData& data_;
    std::int64_t seq_length_, ids_;
};

Dataset open(const std::vector<GeneratedFile>& files, const std::filesystem::path& folder,
             const std::string& tokenizer) {
    std::vector<std::string> names;
    for (const GeneratedFile& file : files)
        names.push_back((folder / file.name).string() +
                        (file.share > 0.0 ? fmt::format(":{}", file.share) : ""));
    return open_dataset(names, open_tokenizer(tokenizer));
}

}  // namespace

Dataset GeneratedData::open_train(const std::filesystem::path& folder) const {
    return open(train, folder, tokenizer);
}

Dataset GeneratedData::open_valid(const std::filesystem::path& folder) const {
    return valid.empty() ? Dataset() : open(valid, folder, tokenizer);
}

void GeneratedData::write(const std::filesystem::path& folder) const {
    for (const auto* files : {&train, &valid})
        for (const GeneratedFile& file : *files) {
            std::ofstream out(folder / file.name, std::ios::binary);
            out << file.bytes << std::flush;
            if (!out) throw Error((folder / file.name).string() + " can't be written");
        }
}

GeneratedData draw_data(Draw& draw, std::int64_t seq_length) {
    GeneratedData data;
    // A vocabulary of 2,200 makes an embedding of two blocks.
    const std::int64_t ids = draw.one_of<std::int64_t>({0, 0, 0, 5, 40, 300, 2200});
    data.tokenizer = ids > 0 ? fmt::format("ids:{}:{}", ids, ids - 1) : "byte";
    Lines lines(draw, data, seq_length, ids);
    const std::int64_t files = draw.one_of<std::int64_t>({1, 1, 2, 3});
    const bool mixture = files > 1 && draw.chance(0.6);
    for (std::int64_t i = 0; i < files; ++i) {
        GeneratedFile file{fmt::format("train-{}.jsonl", i), "", 0.0};
        if (ids == 0 && draw.chance(0.15)) {  // one document
            file.name = fmt::format("train-{}.txt", i);
            file.bytes = draw_text(draw, seq_length * draw.between(3, 20));
            data.giant = true;
        } else {
            file.bytes = lines.file(draw.skewed(3, 60));
        }
        // So much alike that each file has a sequence an epoch at least.
        if (mixture) file.share = draw.one_of({1.0, 1.25, 1.5});
        data.train.push_back(std::move(file));
    }
    if (draw.chance(0.4)) data.valid.push_back({"valid.jsonl", lines.file(draw.skewed(2, 20))});
    return data;
}

}  // namespace evengrad::fuzz
