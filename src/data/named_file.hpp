// What --data and its like name: FILE or FILE:SHARE each.
#pragma once

#include <string>
#include <vector>

namespace evengrad {

struct NamedFile {
    std::string path;
    double share = 0.0;  ///< 0: none given
};

/// FILE or FILE:SHARE. A colon that no number follows belongs to the name.
NamedFile parse_file(const std::string& text);

struct NamedFiles {
    std::vector<std::string> paths;
    std::vector<double> shares;  ///< one a file, or none
};

/// @throws UsageError for no file, and when some have a share and others don't.
NamedFiles parse_files(const std::vector<std::string>& files);

}  // namespace evengrad
