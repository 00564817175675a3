// A folder of its own for a test, removed at the end.
#pragma once

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include <evengrad/error.hpp>

namespace evengrad::test {

class ScratchFolder {
  public:
    ScratchFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "evengrad-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
        path_ = name;
    }
    ~ScratchFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

  private:
    std::filesystem::path path_;
};

inline std::string bytes_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

inline void write_bytes(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
}

/// Whether all `parts` are in `text`.
inline testing::AssertionResult contains(const std::string& text,
                                         std::initializer_list<const char*> parts) {
    for (const char* part : parts)
        if (text.find(part) == std::string::npos)
            return testing::AssertionFailure() << "'" << part << "' is not in: " << text;
    return testing::AssertionSuccess();
}

/// What `tell` says of the Exception that `action` must throw; "" and a failure when it doesn't.
template <class Exception, class Action, class Tell>
std::string told_of(Action& action, Tell tell) {
    try {
        action();
    } catch (const Exception& error) {
        return tell(error);
    }
    ADD_FAILURE() << "nothing was thrown";
    return {};
}

/// The message of the Exception that `action` must throw.
template <class Exception, class Action>
std::string message_of(Action action) {
    return told_of<Exception>(action, [](const auto& error) { return std::string(error.what()); });
}

/// What the Error that `action` throws says to do about it.
template <class Action>
std::string hint_of(Action action) {
    return told_of<Error>(action, [](const Error& error) { return error.hint(); });
}

}  // namespace evengrad::test
