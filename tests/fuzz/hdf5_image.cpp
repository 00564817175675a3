#include "hdf5_image.hpp"

#include <algorithm>

#include "hdf5_choices.hpp"

namespace evengrad::fuzz {

bool is_editing = false;

namespace {

constexpr std::size_t most_raw_bytes = std::size_t{1} << 16;

hid_t open_image(const std::string& bytes) {
    static const hid_t access = [] {
        const hid_t list = H5Pcreate(H5P_FILE_ACCESS);
        H5Pset_fapl_core(list, std::size_t{1} << 16, false);
        H5Pset_libver_bounds(list, H5F_LIBVER_EARLIEST, H5F_LIBVER_V110);
        return list;
    }();
    H5Pset_file_image(access, const_cast<char*>(bytes.data()), bytes.size());
    return H5Fopen("image", H5F_ACC_RDWR, access);
}

/// Of a dataset or attribute, by the two calls that read and write it.
template <class Read, class Write>
void change_content(hid_t type, hid_t space, const Read& read, const Write& write,
                    Choices& choices) {
    const std::size_t count = element_count(space);
    const std::size_t width = H5Tget_size(type);
    if (count == 0 || width == 0 || count > most_raw_bytes / width) return;
    if (H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0) {
        std::vector<char*> pointers(count);
        if (read(type, pointers.data()) < 0) return;
        const std::size_t which = choices.byte() % pointers.size();
        std::string text = pointers[which] != nullptr ? pointers[which] : "";
        change_text(text, choices);
        std::vector<char*> changed = pointers;
        changed[which] = choices.below(16) == 0 ? nullptr : text.data();
        write(type, changed.data());
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, pointers.data());
    } else if (H5Tget_class(type) != H5T_VLEN) {
        std::string elements(count * width, '\0');
        if (read(type, elements.data()) < 0) return;
        change_element(elements, width, choices);
        write(type, elements.data());
    }
}

void replace_by_dataset(hid_t file, const std::string& path, Choices& choices) {
    const hid_t type = some_type(choices), space = some_space(choices);
    const hid_t list = some_storage(choices, space);
    const hid_t dataset =
        H5Dcreate2(file, path.c_str(), type, space, H5P_DEFAULT, list, H5P_DEFAULT);
    if (dataset >= 0) {
        const std::size_t count = element_count(space);
        const H5D_layout_t layout = H5Pget_layout(list);
        const bool is_foreign = layout == H5D_VIRTUAL || H5Pget_external_count(list) > 0;
        const bool is_number = H5Tget_class(type) == H5T_INTEGER ||
                               H5Tget_class(type) == H5T_FLOAT || H5Tis_variable_str(type) <= 0;
        // The library takes its time, and memory, for each of many chunks.
        const bool is_slow = layout == H5D_CHUNKED && count > 1024;
        if (!is_foreign && !is_slow && is_number && H5Tget_class(type) != H5T_VLEN && count > 0 &&
            count <= most_raw_bytes / H5Tget_size(type)) {
            std::string elements(count * H5Tget_size(type), '\0');
            const std::string_view given = choices.take(choices.below(64));
            elements.replace(0, std::min(given.size(), elements.size()),
                             given.substr(0, elements.size()));
            H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements.data());
        }
        H5Dclose(dataset);
    }
    H5Pclose(list);
    H5Sclose(space);
    H5Tclose(type);
}

void replace_attribute(hid_t object, const std::string& name, Choices& choices) {
    H5Adelete(object, name.c_str());
    if (choices.below(4) == 0) return;
    const hid_t type = some_type(choices), space = some_space(choices);
    const std::size_t count = element_count(space);
    if (count <= most_raw_bytes / 64 && H5Tget_size(type) <= 64) {
        const hid_t attribute =
            H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT);
        if (attribute >= 0) {
            if (H5Tget_class(type) != H5T_VLEN && H5Tis_variable_str(type) <= 0) {
                std::string elements((count + 1) * 64, '\0');
                for (std::size_t i = 0; i < 8; ++i) elements[i] = static_cast<char>(choices.byte());
                H5Awrite(attribute, type, elements.data());
            }
            H5Aclose(attribute);
        }
    }
    H5Sclose(space);
    H5Tclose(type);
}

}  // namespace

herr_t Hdf5Image::add_object(hid_t file, const char* name, const H5O_info_t* info, void* objects) {
    Object object;
    object.path = name;
    object.is_group = info->type == H5O_TYPE_GROUP;
    const hid_t id = H5Oopen(file, name, H5P_DEFAULT);
    for (hsize_t i = 0; i < info->num_attrs; ++i) {
        char text[256];
        H5Aget_name_by_idx(id, ".", H5_INDEX_NAME, H5_ITER_INC, i, text, sizeof text, H5P_DEFAULT);
        object.attributes.emplace_back(text);
    }
    H5Oclose(id);
    static_cast<std::vector<Object>*>(objects)->push_back(object);
    return 0;
}

Hdf5Image::Hdf5Image(std::string bytes) : bytes_(std::move(bytes)) {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    // What the library frees it keeps for the next case (a cache of 0.5 MB for each open file).
    H5set_free_list_limits(-1, -1, -1, -1, -1, -1);
    const hid_t file = open_image(bytes_);
    FUZZ_CHECK(file >= 0);
    H5Ovisit2(file, H5_INDEX_NAME, H5_ITER_INC, add_object, &objects_,
              H5O_INFO_BASIC | H5O_INFO_NUM_ATTRS);
    H5Fclose(file);
    FUZZ_CHECK(objects_.size() > 4);
}

const std::string& Hdf5Image::edit(hid_t file, Choices& choices) const {
    const Object& object = objects_[choices.byte() % objects_.size()];
    const char* const path = object.path.c_str();
    const bool is_root = object.path == ".";
    const unsigned kind = choices.below(16);
    const hid_t id = H5Oopen(file, path, H5P_DEFAULT);
    if (kind >= 6 && id >= 0) {
        const bool of_attribute = !object.attributes.empty() && (object.is_group || kind >= 13);
        if (of_attribute) {
            const std::string& name = object.attributes[choices.byte() % object.attributes.size()];
            if (kind % 2 == 0) {
                replace_attribute(id, name, choices);
            } else if (const hid_t attribute = H5Aopen(id, name.c_str(), H5P_DEFAULT);
                       attribute >= 0) {
                const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
                change_content(
                    type, space, [&](hid_t t, void* data) { return H5Aread(attribute, t, data); },
                    [&](hid_t t, const void* data) { H5Awrite(attribute, t, data); }, choices);
                H5Sclose(space);
                H5Tclose(type);
                H5Aclose(attribute);
            }
        } else if (H5Iget_type(id) == H5I_DATASET) {
            const hid_t type = H5Dget_type(id), space = H5Dget_space(id);
            change_content(
                type, space,
                [&](hid_t t, void* data) {
                    return H5Dread(id, t, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
                },
                [&](hid_t t, const void* data) {
                    H5Dwrite(id, t, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
                },
                choices);
            H5Sclose(space);
            H5Tclose(type);
        }
    }
    if (id >= 0) H5Oclose(id);
    if (kind >= 6 || is_root) return object.path;
    const std::string& other = objects_[choices.byte() % objects_.size()].path;
    if (kind == 5) {  // under another name, or in place of another object
        H5Ldelete(file, other.c_str(), H5P_DEFAULT);
        H5Lmove(file, path, file, other.c_str(), H5P_DEFAULT, H5P_DEFAULT);
        return other;
    }
    H5Ldelete(file, path, H5P_DEFAULT);
    switch (kind) {
        case 0:
            break;
        case 1: {
            const hid_t group = H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            H5Gclose(group);
            break;
        }
        case 2:
            switch (choices.below(4)) {
                case 0:
                    H5Lcreate_soft(("/" + other).c_str(), file, path, H5P_DEFAULT, H5P_DEFAULT);
                    break;
                case 1:
                    H5Lcreate_external(forbidden_file, "/tokens", file, path, H5P_DEFAULT,
                                       H5P_DEFAULT);
                    break;
                case 2:
                    H5Lcreate_ud(file, path, H5L_TYPE_UD_MIN, "x", 1, H5P_DEFAULT, H5P_DEFAULT);
                    break;
                default:  // perhaps of a group inside itself
                    H5Lcreate_hard(file, other.c_str(), file, path, H5P_DEFAULT, H5P_DEFAULT);
            }
            break;
        case 3: {
            const hid_t type = some_type(choices);
            H5Tcommit2(file, path, type, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
            H5Tclose(type);
            break;
        }
        default:
            replace_by_dataset(file, path, choices);
    }
    return object.path;
}

std::string Hdf5Image::edited(Choices& choices, const Repair& repair) const {
    is_editing = true;
    const hid_t file = open_image(bytes_);
    FUZZ_CHECK(file >= 0);
    const bool repaired = choices.below(2) == 1;
    constexpr int most_edits = 8;
    for (int i = 0; i < most_edits && !choices.empty(); ++i) {
        const std::string& path = edit(file, choices);
        if (repaired) repair(file, path);
    }
    FUZZ_CHECK(H5Fflush(file, H5F_SCOPE_LOCAL) >= 0);
    std::string bytes(static_cast<std::size_t>(H5Fget_file_image(file, nullptr, 0)), '\0');
    FUZZ_CHECK(H5Fget_file_image(file, bytes.data(), bytes.size()) >= 0);
    FUZZ_CHECK(H5Fclose(file) >= 0);
    H5Eclear2(H5E_DEFAULT);
    is_editing = false;
    return bytes;
}

std::string Hdf5Image::patched(Choices& choices) const {
    std::string bytes = bytes_;
    while (!choices.empty()) {
        const std::size_t place = choices.byte() * 256 + choices.byte();
        bytes[place * bytes.size() / 65536] = static_cast<char>(choices.byte());
    }
    return bytes;
}

std::string raw_elements(hid_t dataset) {
    const hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    const std::size_t count = element_count(space);
    const std::size_t width = H5Tget_size(type);
    const H5T_class_t kind = H5Tget_class(type);
    std::string elements;
    if ((kind == H5T_INTEGER || kind == H5T_FLOAT) && count > 0 &&
        count <= most_raw_bytes / width) {
        elements.resize(count * width);
        if (H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, elements.data()) < 0)
            elements.clear();
    }
    H5Sclose(space);
    H5Tclose(type);
    return elements;
}

}  // namespace evengrad::fuzz
