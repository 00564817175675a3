// The texts of a vocabulary, end to end in one block.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace evengrad {

class TokenTexts {
  public:
    void add(std::string_view text) {
        bytes_ += text;
        ends_.push_back(bytes_.size());
    }
    std::string_view operator[](std::int32_t token) const {
        const auto t = static_cast<std::size_t>(token);
        const std::size_t begin = t == 0 ? 0 : ends_[t - 1];
        return std::string_view(bytes_).substr(begin, ends_[t] - begin);
    }

  private:
    std::string bytes_;
    std::vector<std::size_t> ends_;
};

}  // namespace evengrad
