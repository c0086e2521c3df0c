#include "fs/numbers.h"

#include <algorithm>

#include "fs/scalars.h"
#include "store/change.h"

namespace stavefs {

void NumberAllocator::start(uint64_t next) { next_ = usable_ = reserved_ = next; }

Status NumberAllocator::reserve() {
  Change change;
  put_scalar(change, kNextInodeScalar, reserved_ + range_);
  ASSIGN_OR_RETURN(reserved_lsn_, ledger_.commit(change));
  reserved_ += range_;
  return ok();
}

Result<InodeId> NumberAllocator::take() {
  std::lock_guard lock(mutex_);
  if (next_ == usable_) {
    if (reserved_ == usable_) TRY(reserve());
    if (ledger_.durable() < reserved_lsn_) {
      range_ = std::min(range_ * 2, kMaxNumberRange);
      TRY(ledger_.sync(reserved_lsn_));
    }
    usable_ = reserved_;
  } else if (reserved_ == usable_ && usable_ - next_ <= range_ / 2) {
    TRY(reserve());
  }
  return InodeId(next_++);
}

}  // namespace stavefs
