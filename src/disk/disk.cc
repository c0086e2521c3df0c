#include "disk/disk.h"

namespace stavefs {

Status run_one(IoEngine& engine, IoRequest request) {
  engine.run({&request, 1});
  if (request.error == 0) return ok();
  const std::string where = request.file->name() + " on " + request.file->disk().describe();
  if (request.kind == IoKind::kSync) return errno_error(request.error, "sync of " + where);
  return errno_error(request.error, std::string(request.kind == IoKind::kRead ? "read " : "write ") +
                                        std::to_string(request.bytes) + " bytes at " +
                                        std::to_string(request.offset) + " of " + where);
}

}  // namespace stavefs
