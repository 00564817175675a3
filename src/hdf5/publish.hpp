// Files that appear whole or not at all.
#pragma once

#include <filesystem>

#include "hdf5/file.hpp"

namespace evengrad::hdf5 {

/// A file that is written as TARGET.tmp beside its target and takes the target's name only when it
/// is complete and on the disk. Whatever happens before, an earlier TARGET stays as it was.
///
/// A link is replaced and not followed: a run's folder may come from anybody. (What users name goes
/// through behind_links before.) A device or a pipe is refused.
///
/// Without `publish()` the destructor removes the temporary file; what a crash left of one is
/// replaced by the next attempt. One writer per target. @local
class PublishedFile {
  public:
    /// @throws Error with the system's reason (no such folder, no permission, disk full ...).
    explicit PublishedFile(std::filesystem::path target);
    ~PublishedFile();
    PublishedFile(const PublishedFile&) = delete;
    PublishedFile& operator=(const PublishedFile&) = delete;

    Group root() const { return file_.root(); }

    /// Sets the root attribute `complete` to 1 (int64), closes, fsyncs, renames, fsyncs the folder.
    /// Groups and datasets of the file must be gone. Call once, last.
    void publish();

  private:
    std::filesystem::path target_;
    File file_;
    bool published_ = false;
};

}  // namespace evengrad::hdf5
