#include "codec/compress.h"

#include <zstd.h>

#include <memory>
#include <string>

#include "base/check.h"

namespace stavefs {
namespace {

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// Contexts hold the match tables; making one costs more than compressing a frame, so each thread keeps its
// own.
ZSTD_CCtx* thread_compressor() {
  thread_local std::unique_ptr<ZSTD_CCtx, FreeContext> context;
  if (context == nullptr) context.reset(ZSTD_createCCtx());
  return context.get();
}

ZSTD_DCtx* thread_decompressor() {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeContext> context;
  if (context == nullptr) context.reset(ZSTD_createDCtx());
  return context.get();
}

Error no_memory() { return Error(ErrorCode::kNoMemory, ENOMEM, "no memory for a zstd context"); }

Error corrupt(const std::string& what) {
  return Error(ErrorCode::kCorrupt, EIO, "compressed frame: " + what);
}

}  // namespace

size_t compress_bound(size_t bytes) { return ZSTD_compressBound(bytes); }

Result<size_t> compress_frame(std::span<const uint8_t> in, int level, std::span<uint8_t> out) {
  CHECK(out.size() >= compress_bound(in.size()));
  if (in.size() > kCompressedFrameBytes || level < ZSTD_minCLevel() || level > ZSTD_maxCLevel()) {
    return Error(
        ErrorCode::kInvalid, EINVAL,
        "cannot compress " + std::to_string(in.size()) + " bytes at zstd level " + std::to_string(level));
  }
  if (in.empty()) return size_t{0};
  ZSTD_CCtx* const context = thread_compressor();
  if (context == nullptr) return no_memory();
  const size_t size = ZSTD_compressCCtx(context, out.data(), out.size(), in.data(), in.size(), level);
  if (ZSTD_isError(size)) {
    // The room suffices and the input is plain memory: only an allocation can have failed.
    return Error(ErrorCode::kNoMemory, ENOMEM, std::string("zstd: ") + ZSTD_getErrorName(size));
  }
  return size * 8 < in.size() * 7 ? size : size_t{0};
}

Status decompress_frame(std::span<const uint8_t> in, std::span<uint8_t> out) {
  if (out.size() > kCompressedFrameBytes) return corrupt("longer than any frame");
  // zstd would run through several frames and skip foreign ones; ours is one frame that tells its size.
  if (ZSTD_findFrameCompressedSize(in.data(), in.size()) != in.size()) return corrupt("not one whole frame");
  if (ZSTD_getFrameContentSize(in.data(), in.size()) != out.size()) return corrupt("of another size");
  ZSTD_DCtx* const context = thread_decompressor();
  if (context == nullptr) return no_memory();
  const size_t size = ZSTD_decompressDCtx(context, out.data(), out.size(), in.data(), in.size());
  if (ZSTD_isError(size)) return corrupt(ZSTD_getErrorName(size));
  if (size != out.size()) return corrupt("shorter than it says");
  return ok();
}

}  // namespace stavefs
