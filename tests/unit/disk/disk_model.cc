#include "disk_model.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/buffer.h"
#include "base/rng.h"
#include "rig.h"

namespace stavefs::test {

namespace {

constexpr uint64_t kMaxFileBytes = 192 << 10;
constexpr const char* kNames[] = {"a", "b", "d/a", "d/b", "e/a"};

class Comparison {
 public:
  Comparison(Disk& disk, IoEngine& engine, uint64_t seed) : disk_(disk), engine_(engine), rng_(seed) {}

  std::string run(int operations) {
    for (int i = 0; i < operations && difference_.empty(); ++i) step(i);
    for (const auto& [name, bytes] : model_) verify_whole(name, bytes);
    for (const std::string directory : {"", "d", "e", "none"}) verify_list(directory);
    return difference_;
  }

 private:
  void differ(const std::string& what) {
    if (difference_.empty()) difference_ = what;
  }

  void step(int number) {
    const std::string name = kNames[rng_.below(std::size(kNames))];
    const uint64_t draw = rng_.below(100);
    if (draw < 55) {
      change_file(name, static_cast<uint64_t>(number));
    } else if (draw < 65) {
      const bool there = model_.erase(name) > 0;
      if (static_cast<bool>(disk_.remove(name)) != there) differ("remove " + name);
    } else if (draw < 75) {
      rename(name, kNames[rng_.below(std::size(kNames))]);
    } else if (draw < 80) {
      if (!disk_.sync_names(rng_.one_in(2) ? "" : "d")) differ("sync_names");
    } else if (draw < 90) {
      verify_list(rng_.one_in(2) ? "" : "d");
    } else if (const auto it = model_.find(name); it != model_.end()) {
      verify_whole(name, it->second);
    } else if (disk_.open(name, {})) {
      differ(name + " exists");
    }
  }

  void rename(const std::string& from, const std::string& to) {
    const auto it = model_.find(from);
    const bool there = it != model_.end();
    if (static_cast<bool>(disk_.rename(from, to)) != there) differ("rename " + from + " to " + to);
    if (!there || from == to) return;
    std::string bytes = std::move(it->second);
    model_.erase(it);
    model_[to] = std::move(bytes);
    made_[to] = true;
  }

  /// A few operations on one open file.
  void change_file(const std::string& name, uint64_t number) {
    const OpenOptions options{.create = true, .truncate = rng_.one_in(12), .direct = rng_.one_in(2)};
    const auto file = disk_.open(name, options);
    if (!file) return differ("open " + name + ": " + text(file));
    std::string& bytes = model_[name];
    made_[name] = true;
    if (options.truncate) bytes.clear();
    for (uint64_t n = 1 + rng_.below(4); n > 0; --n)
      change_open(**file, bytes, options.direct, number * 8 + n);
    const auto size = (*file)->size();
    if (!size || *size != bytes.size()) differ("size of " + name);
  }

  void change_open(DiskFile& file, std::string& bytes, bool direct, uint64_t content) {
    const uint64_t unit = direct ? 4096 : 1;
    const uint64_t offset = round_down(rng_.below(kMaxFileBytes), unit);
    const uint64_t length = round_up(1 + rng_.below(32 << 10), unit);
    Status done;
    switch (rng_.below(7)) {
      case 0: verify_range(file, bytes, offset, length); break;
      case 1: done = sync(engine_, file); break;
      case 2:
        done = file.truncate(offset);
        bytes.resize(offset);
        break;
      case 3:
        done = file.allocate(offset);
        bytes.resize(std::max<size_t>(bytes.size(), offset));
        break;
      case 4:
        done = file.punch(offset, length);
        for (uint64_t i = offset; i < std::min<uint64_t>(bytes.size(), offset + length); ++i) bytes[i] = '\0';
        break;
      default: {
        const std::string fresh = pattern(content, length);
        done = write(engine_, file, offset, fresh, rng_.one_in(4));
        if (bytes.size() < offset + length) bytes.resize(offset + length);
        bytes.replace(offset, length, fresh);
      }
    }
    if (!done) differ(text(done));
  }

  void verify_range(DiskFile& file, const std::string& bytes, uint64_t offset, uint64_t length) {
    const auto got = read(engine_, file, offset, length);
    const bool readable = offset + length <= bytes.size();
    if (static_cast<bool>(got) != readable) {
      differ("read of " + file.name() + ": " + text(got));
    } else if (readable && *got != bytes.substr(offset, length)) {
      differ("bytes of " + file.name() + " at " + std::to_string(offset));
    }
  }

  void verify_whole(const std::string& name, const std::string& bytes) {
    const auto file = disk_.open(name, {});
    if (!file) return differ("open " + name + ": " + text(file));
    const auto size = (*file)->size();
    if (!size || *size != bytes.size()) return differ("size of " + name);
    verify_range(**file, bytes, 0, bytes.size());
  }

  void verify_list(const std::string& directory) {
    std::vector<std::string> expected;
    const std::string prefix = directory.empty() ? "" : directory + "/";
    for (const auto& [name, bytes] : model_) {
      if (!name.starts_with(prefix)) continue;
      const std::string leaf = name.substr(prefix.size());
      if (leaf.find('/') == std::string::npos) expected.push_back(leaf);
    }
    // A directory stays once it was made.
    for (const char* made : {"d", "e"}) {
      const bool exists = std::any_of(made_.begin(), made_.end(), [&](const auto& m) {
        return m.first.starts_with(std::string(made) + "/");
      });
      if (directory.empty() && exists) expected.emplace_back(made);
    }
    std::sort(expected.begin(), expected.end());
    const auto got = disk_.list(directory);
    if (!got || *got != expected) differ("list of '" + directory + "'");
  }

  Disk& disk_;
  IoEngine& engine_;
  Rng rng_;
  std::map<std::string, std::string> model_;
  std::map<std::string, bool> made_;  // every name that ever existed
  std::string difference_;
};

}  // namespace

std::string compare_with_model(Disk& disk, IoEngine& engine, uint64_t seed, int operations) {
  return Comparison(disk, engine, seed).run(operations);
}

}  // namespace stavefs::test
