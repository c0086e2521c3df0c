#include "codec/checksum.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#ifdef STAVEFS_XXH_DISPATCH
#include <xxh_x86dispatch.h>
#else
#include <xxhash.h>
#endif

#include <array>
#include <cstring>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/endian.h"

namespace stavefs {
namespace {

/// One digest of OpenSSL with a context to reuse: looking either up for each block costs as much as hashing
/// it.
class Digest {
 public:
  explicit Digest(const char* name)
      : algorithm_(EVP_MD_fetch(nullptr, name, nullptr)), context_(EVP_MD_CTX_new()) {
    if (algorithm_ == nullptr) ERR_clear_error();
  }
  bool usable() const { return algorithm_ != nullptr && context_ != nullptr; }
  void compute(std::span<const uint8_t> data, uint8_t* out) {
    CHECK(usable());
    CHECK(EVP_DigestInit_ex2(context_.get(), algorithm_.get(), nullptr) == 1);
    CHECK(EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1);
    CHECK(EVP_DigestFinal_ex(context_.get(), out, nullptr) == 1);
  }

 private:
  struct Free {
    void operator()(EVP_MD* p) const { EVP_MD_free(p); }
    void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
  };
  std::unique_ptr<EVP_MD, Free> algorithm_;
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

Digest& thread_sha256() {
  thread_local Digest digest("SHA256");
  return digest;
}

Digest& thread_md5() {
  thread_local Digest digest("MD5");
  return digest;
}

// libxxhash picks its kernels for this CPU at the first long input, with no care for other threads.  So that
// happens here once, under the lock that a static variable has.
void choose_xxh3_kernels() {
#ifdef STAVEFS_XXH_DISPATCH
  static const uint64_t chosen = [] {
    const std::array<uint8_t, 1024> long_input{};
    return XXH3_64bits(long_input.data(), long_input.size()) ^
           XXH3_64bits_withSeed(long_input.data(), long_input.size(), 1) ^
           XXH3_128bits(long_input.data(), long_input.size()).low64;
  }();
  (void)chosen;
#endif
}

Result<ChecksumKind> require_usable(ChecksumKind kind) {
  const bool usable = kind == ChecksumKind::kXxh3 ||
                      (kind == ChecksumKind::kSha256 && thread_sha256().usable()) ||
                      (kind == ChecksumKind::kMd5 && thread_md5().usable());
  if (usable) return kind;
  return Error(ErrorCode::kUnsupported, EOPNOTSUPP,
               "OpenSSL on this host does not offer " + std::string(to_string(kind)));
}

}  // namespace

size_t checksum_bytes(ChecksumKind kind) {
  switch (kind) {
    case ChecksumKind::kXxh3: return 8;
    case ChecksumKind::kSha256: return 32;
    case ChecksumKind::kMd5: return 16;
  }
  CHECK(!"a checksum kind that was never decoded");
  return 0;
}

std::string_view to_string(ChecksumKind kind) {
  switch (kind) {
    case ChecksumKind::kXxh3: return "xxh3";
    case ChecksumKind::kSha256: return "sha256";
    case ChecksumKind::kMd5: return "md5";
  }
  return "unknown";
}

Result<ChecksumKind> parse_checksum_kind(std::string_view name) {
  for (const ChecksumKind kind : {ChecksumKind::kXxh3, ChecksumKind::kSha256, ChecksumKind::kMd5}) {
    if (name == to_string(kind)) return require_usable(kind);
  }
  return Error(ErrorCode::kInvalid, EINVAL,
               "unknown checksum '" + std::string(name) + "': choose xxh3, sha256 or md5");
}

Result<ChecksumKind> decode_checksum_kind(uint8_t value) {
  switch (static_cast<ChecksumKind>(value)) {
    case ChecksumKind::kXxh3:
    case ChecksumKind::kSha256:
    case ChecksumKind::kMd5: return require_usable(static_cast<ChecksumKind>(value));
  }
  return Error(ErrorCode::kCorrupt, EIO, "no checksum kind has number " + std::to_string(value));
}

void compute_checksum(ChecksumKind kind, std::span<const uint8_t> data, uint8_t* out) {
  switch (kind) {
    case ChecksumKind::kXxh3: {
      const Le64 value = xxh3_64(data.data(), data.size());
      std::memcpy(out, &value, sizeof value);
      return;
    }
    case ChecksumKind::kSha256: return thread_sha256().compute(data, out);
    case ChecksumKind::kMd5: return thread_md5().compute(data, out);
  }
  CHECK(!"a checksum kind that was never decoded");
}

uint64_t xxh3_64(const void* data, size_t bytes, uint64_t seed) {
  choose_xxh3_kernels();
  return seed == 0 ? XXH3_64bits(data, bytes) : XXH3_64bits_withSeed(data, bytes, seed);
}

Hash128 xxh3_128(const void* data, size_t bytes) {
  choose_xxh3_kernels();
  const XXH128_hash_t hash = XXH3_128bits(data, bytes);
  return {hash.low64, hash.high64};
}

}  // namespace stavefs
