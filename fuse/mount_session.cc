#include "fuse/mount_session.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "base/log.h"
#include "fuse/front_end.h"
#include "fuse/kernel_mount.h"
#include "fuse/request_frame.h"

namespace stavefs {
namespace {

constexpr int kMinThreads = 4;
constexpr int kMaxThreads = 64;
constexpr int kThreadsPerCore = 4;

int thread_count(int wanted) {
  if (wanted > 0) return std::min(wanted, kMaxThreads);
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return std::clamp(cores * kThreadsPerCore, kMinThreads, kMaxThreads);
}

/// libfuse tells why it failed through a callback for the whole process only.
void log_from_libfuse(fuse_log_level level, const char* format, va_list arguments) {
  char line[512];
  int length = std::vsnprintf(line, sizeof line, format, arguments);
  length = std::clamp(length, 0, static_cast<int>(sizeof line) - 1);
  while (length > 0 && line[length - 1] == '\n') --length;
  const std::string_view text(line, static_cast<size_t>(length));
  if (level == FUSE_LOG_DEBUG) {
    fprintf(stderr, "%.*s\n", length, line);  // only with -o debug
  } else if (level <= FUSE_LOG_ERR) {
    log_error("libfuse: {}", text);
  } else {
    log_warning("libfuse: {}", text);
  }
}

ssize_t send_reply(int fd, iovec* parts, int count, void* /*userdata*/) {
  RequestFrame* frame = RequestFrame::current();
  return frame != nullptr ? frame->send(fd, parts, count) : ::writev(fd, parts, count);
}

ssize_t receive_request(int fd, void* memory, size_t bytes, void* /*userdata*/) {
  return ::read(fd, memory, bytes);
}

Result<KernelOptions> kernel_options(const MountOptions& options) {
  std::vector<std::string> words = {options.dev ? "dev" : "nodev", options.suid ? "suid" : "nosuid",
                                    options.read_only ? "ro" : "rw"};
  if (options.allow_other || geteuid() == 0) words.emplace_back("allow_other");
  words.insert(words.end(), options.extra.begin(), options.extra.end());
  return parse_options(words);
}

class FuseArguments {
 public:
  explicit FuseArguments(const std::vector<std::string>& words) {
    for (const std::string& word : words) fuse_opt_add_arg(&args_, word.c_str());
  }
  ~FuseArguments() { fuse_opt_free_args(&args_); }
  FuseArguments(const FuseArguments&) = delete;
  FuseArguments& operator=(const FuseArguments&) = delete;
  fuse_args* get() { return &args_; }

 private:
  fuse_args args_ = FUSE_ARGS_INIT(0, nullptr);
};

/// libfuse splits at commas; "\," is a comma in a value.
std::string escape_option(const std::string& value) {
  std::string escaped;
  for (const char c : value) {
    if (c == ',' || c == '\\') escaped.push_back('\\');
    escaped.push_back(c);
  }
  return escaped;
}

void ignore_signal(int /*number*/) {}

}  // namespace

struct MountSession::Impl {
  Impl(FileSystem& fs, BufferPool& buffers, const MountOptions& wanted)
      : options(wanted), front{.fs = fs, .buffers = buffers, .cache_seconds = wanted.cache_seconds} {}
  ~Impl() { disconnect(); }

  Status start_session(const KernelOptions& kernel);
  Status connect(const KernelOptions& kernel);
  Status start_workers();
  void serve();
  void wait_for_answer();
  void end_workers();
  void disconnect();

  const MountOptions options;
  std::string path;
  std::string device;  // "major:minor" of the mount when mount(2) was called here
  bool mounted_by_libfuse = false;
  FrontEnd front;
  std::atomic<bool> answered{false};
  std::atomic<int> failure{0};  // errno of /dev/fuse that ended a worker

  std::mutex mutex;                  // a leaf
  std::condition_variable changed;   // of what follows
  fuse_session* session = nullptr;   // set before run(); cleared under mutex
  int running = 0;                   // workers
  int notifying = 0;                 // calls of name_changed() inside the kernel
  bool stopping = false;             // stop() was called: no more notifications
  bool ended = false;                // workers shall go
  std::vector<std::thread> workers;  // belongs to run()
};

/// Takes the mount away when it is still there, and closes the connection, which ends every request that
/// waits for an answer.
void MountSession::Impl::disconnect() {
  fuse_session* closing = nullptr;
  {
    const std::lock_guard lock(mutex);
    closing = std::exchange(session, nullptr);
  }
  if (closing == nullptr) return;
  if (!device.empty()) {
    const std::optional<MountEntry> there = find_mount(path);
    if (there && there->device == device) {
      if (Status status = unmount(path, UnmountMode::kAbort); !status)
        log_warning("{}", status.error().to_text());
    }
  }
  if (mounted_by_libfuse) fuse_session_unmount(closing);
  {
    // The kernel has given up what name_changed() waits for.
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return notifying == 0; });
  }
  fuse_session_destroy(closing);
}

Status MountSession::Impl::start_session(const KernelOptions& kernel) {
  std::vector<std::string> words = {"stavefs",
                                    "-o",
                                    "fsname=" + escape_option(options.fs_name),
                                    "-o",
                                    "subtype=" + escape_option(options.subtype),
                                    "-o",
                                    "default_permissions"};
  if (kernel.allow_other) words.insert(words.end(), {"-o", "allow_other"});
  if (kernel.debug) words.emplace_back("-d");
  if (geteuid() != 0) {  // as root mount(2) gets them from connect()
    for (const std::string& word : kernel.words) words.insert(words.end(), {"-o", word});
  }
  FuseArguments arguments(words);

  fuse_lowlevel_ops operations = {};
  set_session_operations(operations);
  set_name_operations(operations);
  set_inode_operations(operations);
  set_xattr_operations(operations);
  set_file_operations(operations);
  set_directory_operations(operations);
  session = fuse_session_new(arguments.get(), &operations, sizeof operations, &front);
  if (session == nullptr) return Error(ErrorCode::kInvalid, EINVAL, "libfuse refuses the mount options");
  front.session = session;
  return ok();
}

Status MountSession::Impl::connect(const KernelOptions& kernel) {
  fuse_custom_io io = {};
  io.writev = send_reply;
  io.read = receive_request;
  if (geteuid() == 0) {
    ASSIGN_OR_RETURN(const int fd, open_fuse_device());
    if (fuse_session_custom_io(session, &io, fd) != 0) {
      close(fd);
      return Error(ErrorCode::kNoMemory, ENOMEM, "no memory for the FUSE session");
    }
    TRY(mount_connection(fd, path, options.fs_name, options.subtype, kernel));  // the session closes fd
    if (const std::optional<MountEntry> entry = find_mount(path)) device = entry->device;
    return ok();
  }
  TRY(check_fusermount());
  if (fuse_session_mount(session, path.c_str()) != 0) {
    return Error(ErrorCode::kNoPermission, EPERM,
                 fmt::format("fusermount3 could not mount at {} (see its message above)", path));
  }
  mounted_by_libfuse = true;
  if (fuse_session_custom_io(session, &io, fuse_session_fd(session)) != 0) {
    return Error(ErrorCode::kNoMemory, ENOMEM, "no memory for the FUSE session");
  }
  return ok();
}

Status MountSession::Impl::start_workers() {
  const int wanted = thread_count(options.threads);
  const std::lock_guard lock(mutex);
  try {
    while (running < wanted) {
      workers.emplace_back([this] { serve(); });
      ++running;
    }
  } catch (const std::system_error& error) {
    ended = true;
    return errno_error(error.code().value(), "start of the mount's threads");
  }
  return ok();
}

void MountSession::Impl::serve() {
  sigset_t wake;
  sigemptyset(&wake);
  sigaddset(&wake, SIGRTMIN);
  pthread_sigmask(SIG_UNBLOCK, &wake, nullptr);
  {
    RequestFrame frame;
    while (!fuse_session_exited(front.session)) {
      fuse_buf buffer = {};
      buffer.mem = frame.request();
      const int received = fuse_session_receive_buf(front.session, &buffer);
      if (received == -EINTR || received == -EAGAIN) continue;
      if (received <= 0) {
        if (received < 0) failure.store(-received);
        break;
      }
      frame.set_received(static_cast<size_t>(received));
      fuse_session_process_buf(front.session, &buffer);
      frame.set_received(0);
    }
  }
  const std::lock_guard lock(mutex);
  --running;
  ended = true;  // the connection is gone, or useless: for all of them
  changed.notify_all();
}

/// Asks through the kernel, as any program would, and then lets the caller know.
void MountSession::Impl::wait_for_answer() {
  struct statx root = {};
  if (statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &root) != 0) {
    log_info("{}", errno_error(errno, "the mount at " + path + " ended before it answered").to_text());
    return;
  }
  // After INIT, whose reply cannot raise it above the kernel's 128 KiB.
  if (options.read_ahead_kib != 0) {
    if (Status status = set_read_ahead(path, options.read_ahead_kib); !status) {
      log_info("read-ahead stays at the kernel's default: {}", status.error().to_text());
    }
  }
  answered.store(true);
  if (options.on_answered) options.on_answered();
}

// A worker that is about to call read(2) misses the signal, hence the repetition.
void MountSession::Impl::end_workers() {
  constexpr auto kRepeat = std::chrono::milliseconds(20);
  fuse_session_exit(front.session);
  std::unique_lock lock(mutex);
  while (running > 0) {
    for (std::thread& worker : workers) pthread_kill(worker.native_handle(), SIGRTMIN);
    changed.wait_for(lock, kRepeat);
  }
  lock.unlock();
  for (std::thread& worker : workers) worker.join();
}

Status MountSession::check(const MountOptions& options) {
  TRY(kernel_options(options));
  TRY(prepare_mount_point(options.mountpoint, options.subtype));
  ASSIGN_OR_RETURN(const int fd, open_fuse_device());
  close(fd);
  if (geteuid() != 0) TRY(check_fusermount());
  return ok();
}

Result<std::unique_ptr<MountSession>> MountSession::mount(FileSystem& fs, BufferPool& buffers,
                                                          const MountOptions& options) {
  fuse_set_log_func(log_from_libfuse);
  ASSIGN_OR_RETURN(const KernelOptions kernel, kernel_options(options));
  auto impl = std::make_unique<Impl>(fs, buffers, options);
  fs.hold_until_forgotten();
  ASSIGN_OR_RETURN(impl->path, prepare_mount_point(options.mountpoint, options.subtype));
  TRY(impl->start_session(kernel));
  TRY(impl->connect(kernel));
  return std::unique_ptr<MountSession>(new MountSession(std::move(impl)));
}

MountSession::MountSession(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MountSession::~MountSession() = default;

Status MountSession::run() {
  struct sigaction action = {};
  action.sa_handler = ignore_signal;
  if (sigaction(SIGRTMIN, &action, nullptr) != 0) return errno_error(errno, "sigaction");

  const Status started = impl_->start_workers();
  std::thread asking;
  if (started) asking = std::thread([impl = impl_.get()] { impl->wait_for_answer(); });
  {
    std::unique_lock lock(impl_->mutex);
    impl_->changed.wait(lock, [this] { return impl_->ended; });
  }
  impl_->end_workers();
  impl_->disconnect();
  if (asking.joinable()) asking.join();
  TRY(started);
  if (const int failure = impl_->failure.load(); failure != 0) return errno_error(failure, "read /dev/fuse");
  return ok();
}

void MountSession::stop() {
  {
    // What is inside the kernel may wait for a directory whose user waits for a worker: it ends while they
    // serve.
    std::unique_lock lock(impl_->mutex);
    if (std::exchange(impl_->stopping, true) || impl_->ended) return;
    impl_->changed.wait(lock, [this] { return impl_->notifying == 0; });
  }
  Status gone = unmount(impl_->path, UnmountMode::kPlain);
  if (!gone && gone.error().errno_value() == EBUSY) {
    log_warning("{} is in use: it is detached, and its users get errors", impl_->path);
    gone = unmount(impl_->path, UnmountMode::kLazy);
  }
  if (!gone && gone.error().errno_value() != EINVAL)
    log_warning("{}", gone.error().to_text());  // EINVAL: gone
  const std::lock_guard lock(impl_->mutex);
  impl_->ended = true;
  impl_->changed.notify_all();
}

bool MountSession::answered() const { return impl_->answered.load(); }
const std::string& MountSession::path() const { return impl_->path; }

void MountSession::name_changed(InodeId parent, std::string_view name) {
  fuse_session* session = nullptr;
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->session == nullptr || impl_->stopping || impl_->ended) return;
    session = impl_->session;
    ++impl_->notifying;
  }
  // Also drops the listing and the attributes of the parent.  ENOENT: the kernel knew nothing of it.
  fuse_lowlevel_notify_inval_entry(session, parent.value, name.data(), name.size());
  fuse_lowlevel_notify_inval_inode(session, parent.value, -1, 0);
  const std::lock_guard lock(impl_->mutex);
  --impl_->notifying;
  impl_->changed.notify_all();
}

}  // namespace stavefs
