// What a disk takes for a name; one rule for every implementation.

#pragma once

#include <string_view>

namespace stavefs {

/// "name" or "directory/name"; no part is empty, "." or ".." or holds a zero byte.
bool valid_disk_name(std::string_view name);
/// "" (the top) or one such part.
bool valid_disk_directory(std::string_view directory);
/// "segments/00000001" -> "segments"; "superblock" -> "".
std::string_view directory_of_name(std::string_view name);
/// "segments/00000001" -> "00000001"; "superblock" -> "superblock".
std::string_view leaf_of_name(std::string_view name);

}  // namespace stavefs
