// What people and programs see of `evengrad audit`.
#pragma once

#include <string>

#include "hdf5/file.hpp"
#include "lab/audit.hpp"

namespace evengrad {

/// An audit, and what was audited.
struct AuditReport {
    const Audit& audit;
    const AuditConfig& config;
    const Dataset& data;
};

/// Tables, what they are to be read with, and the conclusion.
std::string audit_tables(const AuditReport& report);

/// One sentence in plain words.
std::string audit_conclusion(const AuditReport& report);

/// The same and more as one JSON object: every digit, each batch by itself; nothing that depends on
/// ranks or time.
std::string audit_json(const AuditReport& report);

/// The same as curves (NXdata) by accumulation steps, unevenness, batch and completion length.
void write_audit(const AuditReport& report, hdf5::Group root);

/// "[####......]  42 %  training sum 123/700  left 0:07"
std::string audit_line(const std::string& what, std::int64_t done, std::int64_t all,
                       double seconds);

}  // namespace evengrad
