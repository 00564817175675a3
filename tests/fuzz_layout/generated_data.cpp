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

std::vector<std::string> names_of(const std::vector<GeneratedFile>& files,
                                  const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const GeneratedFile& file : files)
        names.push_back((folder / file.name).string() +
                        (file.share > 0.0 ? fmt::format(":{}", file.share) : ""));
    return names;
}

/// Features, a weight (if there is a column), a class or values.
class Rows {
  public:
    Rows(Draw& draw, GeneratedData& data, std::int64_t features, std::int64_t classes,
         std::int64_t values, bool weighted)
        : draw_(draw),
          data_(data),
          features_(features),
          classes_(classes),
          values_(values),
          weighted_(weighted) {}

    /// The first rows have a loss, and all classes.
    std::string file(std::int64_t rows) {
        std::string bytes;
        const std::int64_t plain = std::max<std::int64_t>(classes_, 2);
        for (std::int64_t i = 0; i < std::max(rows, plain); ++i) bytes += row(i, i < plain);
        return bytes;
    }

  private:
    std::string row(std::int64_t number, bool plain) {
        std::string line;
        for (std::int64_t i = 0; i < features_; ++i) line += fmt::format("{:.6g},", value());
        if (weighted_)
            line +=
                fmt::format("{},", plain || draw_.chance(0.7) ? 1.0 : draw_weight(draw_, data_));
        if (classes_ > 0) line += std::to_string(plain ? number : draw_.between(0, classes_ - 1));
        for (std::int64_t i = 0; i < values_; ++i)
            line += fmt::format("{}{:.6g}", i > 0 ? "," : "", value());
        return line + '\n';
    }
    double value() { return 4.0 * draw_.uniform() - 1.0; }

    Draw& draw_;
    GeneratedData& data_;
    std::int64_t features_, classes_, values_;
    bool weighted_;
};

}  // namespace

std::pair<Dataset, Dataset> GeneratedData::open(const std::filesystem::path& folder) const {
    const auto files = names_of(train, folder), held_out = names_of(valid, folder);
    std::pair<Dataset, Dataset> out;
    if (!tables) {
        out.first = open_dataset(files, open_tokenizer(tokenizer));
        if (!valid.empty()) out.second = open_dataset(held_out, out.first.tokenizer());
        return out;
    }
    out.first = open_table(files, *tables);
    if (!valid.empty()) out.second = open_table(held_out, *tables, out.first.tokenizer());
    scale_features(scaling, out.first, valid.empty() ? nullptr : &out.second);
    return out;
}

void GeneratedData::write(const std::filesystem::path& folder) const {
    for (const auto* files : {&train, &valid})
        for (const GeneratedFile& file : *files) {
            std::ofstream out(folder / file.name, std::ios::binary);
            out << file.bytes << std::flush;
            if (!out) throw Error((folder / file.name).string() + " can't be written");
        }
}

GeneratedData draw_rows(Draw& draw, std::int64_t features, std::int64_t classes,
                        std::int64_t values) {
    GeneratedData data;
    const bool weighted = draw.chance(0.5);
    TableOptions& tables = data.tables.emplace();
    tables.header = TableHeader::no;
    if (weighted) tables.weight_column = std::to_string(features + 1);
    if (classes == 0) {
        tables.targets = TableTargets::values;
        const std::int64_t first = features + (weighted ? 1 : 0) + 1;
        for (std::int64_t i = 0; i < values; ++i)
            tables.target_columns.push_back(std::to_string(first + i));
    }
    data.scaling =
        static_cast<FeatureScalingKind>(draw.between(0, std::ssize(feature_scaling_names) - 1));
    Rows rows(draw, data, features, classes, values, weighted);
    const std::int64_t files = draw.between(1, 2);
    const bool mixture = files > 1 && draw.chance(0.6);
    for (std::int64_t i = 0; i < files; ++i)
        data.train.push_back({fmt::format("train-{}.csv", i), rows.file(draw.skewed(5, 100)),
                              mixture ? draw.one_of({1.0, 1.25, 1.5}) : 0.0});
    if (draw.chance(0.4)) data.valid.push_back({"valid.csv", rows.file(draw.skewed(2, 30)), 0.0});
    return data;
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
