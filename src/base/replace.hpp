// New files and links in place of earlier ones: whole, or not at all. What OutputFile (text) and
// hdf5::PublishedFile have in common.
#pragma once

#include <filesystem>
#include <string>

namespace evengrad {

/// Where what is written to `path` goes: a link leads to what it names, be that there or not; but
/// one in /proc, which names what a process has open, is where it ends.
std::filesystem::path behind_links(std::filesystem::path path);

/// Whether `path` is to be written as it is, since no other file can take its place: a device, a
/// pipe, a socket, what a process has open (/dev/stdout).
bool is_stream(const std::filesystem::path& path);

/// For files that are written here and there: throws Error where `path` is a stream.
void refuse_stream(const std::filesystem::path& path);

/// TARGET.tmp: where a file is written until it is complete.
std::filesystem::path temporary_of(std::filesystem::path target);

/// Makes way for the target's temporary file: removes what a crash left of one, never through a
/// link.
void clear_temporary(const std::filesystem::path& target);

/// Gives the target's temporary file, which is complete and closed or flushed, the target's name,
/// when it is on the disk; the folder's list of names is then, too.
void replace_file(const std::filesystem::path& target);

/// Makes `folder`/`name` a symbolic link to `target` (relative to the folder), in place of an
/// earlier link; at every instant there is the old one or the new one.
void replace_link(const std::filesystem::path& folder, const std::string& name,
                  const std::filesystem::path& target);

/// Throws Error: "cannot WHAT PATH: REASON", with a hint. `reason` is an errno.
[[noreturn]] void fail_to(const char* what, const std::filesystem::path& path, int reason);

}  // namespace evengrad
