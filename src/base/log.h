// Logging facade.  Callers format with {fmt} syntax; spdlog stays behind this header.
//
// Threads: self-synchronised.  Cost when a level is off: one relaxed load.

#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace stavefs {

enum class LogLevel : int { kDebug = 0, kInfo, kWarning, kError };

bool log_enabled(LogLevel level);
void log_text(LogLevel level, std::string_view text);

/// Lowest level that is printed; kWarning at start.
void set_log_level(LogLevel level);
/// Sends the log to `path` (append) instead of standard error.  False when it cannot be opened.
bool log_to_file(const std::string& path);

template <class... Args>
void log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) log_text(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kDebug, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kInfo, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kWarning, format, std::forward<Args>(args)...);
}
template <class... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log(LogLevel::kError, format, std::forward<Args>(args)...);
}

}  // namespace stavefs
