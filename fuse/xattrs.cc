// Requests about extended attributes: getxattr, setxattr, listxattr, removexattr.

#include <string>
#include <string_view>
#include <vector>

#include "fuse/front_end.h"

namespace stavefs {
namespace {

// POSIX ACLs would be stored but not obeyed: better refused.
Status check_namespace(std::string_view name) {
  if (name.starts_with("system.")) return posix_error(EOPNOTSUPP);
  return ok();
}

/// The two-step protocol of getxattr(2) and listxattr(2): with size 0 the caller asks how much room is
/// needed.
Status reply_value(fuse_req_t request, std::string_view value, size_t size) {
  if (size == 0) {
    fuse_reply_xattr(request, value.size());
    return ok();
  }
  if (value.size() > size) return posix_error(ERANGE);
  fuse_reply_buf(request, value.data(), value.size());
  return ok();
}

void getxattr(fuse_req_t request, fuse_ino_t inode, const char* name, size_t size) {
  answer(request, "getxattr", inode, [&](FrontEnd& front) -> Status {
    TRY(check_namespace(name));
    ASSIGN_OR_RETURN(const std::string value, front.fs.getxattr(InodeId(inode), name));
    return reply_value(request, value, size);
  });
}

void setxattr(fuse_req_t request, fuse_ino_t inode, const char* name, const char* value, size_t size,
              int flags) {
  answer(request, "setxattr", inode, [&](FrontEnd& front) -> Status {
    TRY(check_namespace(name));
    TRY(front.fs.setxattr(InodeId(inode), name, {value, size}, static_cast<uint32_t>(flags)));
    return reply_done(request);
  });
}

void listxattr(fuse_req_t request, fuse_ino_t inode, size_t size) {
  answer(request, "listxattr", inode, [&](FrontEnd& front) -> Status {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, front.fs.listxattr(InodeId(inode)));
    std::string list;
    for (const std::string& name : names) list.append(name).push_back('\0');
    return reply_value(request, list, size);
  });
}

void removexattr(fuse_req_t request, fuse_ino_t inode, const char* name) {
  answer(request, "removexattr", inode, [&](FrontEnd& front) -> Status {
    TRY(check_namespace(name));
    TRY(front.fs.removexattr(InodeId(inode), name));
    return reply_done(request);
  });
}

}  // namespace

void set_xattr_operations(fuse_lowlevel_ops& operations) {
  operations.getxattr = getxattr;
  operations.setxattr = setxattr;
  operations.listxattr = listxattr;
  operations.removexattr = removexattr;
}

}  // namespace stavefs
