#include "disk/names.h"

namespace stavefs {

namespace {

bool valid_part(std::string_view part) {
  return !part.empty() && part != "." && part != ".." && part.find('/') == std::string_view::npos &&
         part.find('\0') == std::string_view::npos;
}

}  // namespace

std::string_view directory_of_name(std::string_view name) {
  const size_t slash = name.find('/');
  return slash == std::string_view::npos ? std::string_view() : name.substr(0, slash);
}

std::string_view leaf_of_name(std::string_view name) {
  const size_t slash = name.find('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

bool valid_disk_directory(std::string_view directory) { return directory.empty() || valid_part(directory); }

bool valid_disk_name(std::string_view name) {
  const bool nested = name.find('/') != std::string_view::npos;
  return (!nested || valid_part(directory_of_name(name))) && valid_part(leaf_of_name(name));
}

}  // namespace stavefs
