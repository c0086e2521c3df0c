// stavefs mount: opens the pool, enters the mount and serves it, in the background unless -f is given.
//
// The background process is forked before anything has threads.  It reports through a pipe, once the mount
// answers a stat(2) or has failed, and the command ends only then.

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <thread>

#include "base/log.h"
#include "control/control_server.h"
#include "control/paths.h"
#include "engine/engine.h"
#include "fuse/mount_session.h"
#include "tools/stavefs/cli.h"

namespace stavefs::cli {
namespace {

/// Tells the waiting command how it went: a byte with the exit code, then the message.
class Reporter {
 public:
  explicit Reporter(int fd) : fd_(fd) {}
  void report(int code, const std::string& message) {
    if (fd_ < 0) return;
    const std::string line = std::string(1, static_cast<char>(code)) + message;
    if (::write(fd_, line.data(), line.size()) < 0)
      log_warning("the command that started the daemon is gone");
    ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

MountOptions session_options(const MountArguments& arguments, const std::string& directory,
                             const HostConfig& config) {
  MountOptions options;
  options.mountpoint = directory;
  options.fs_name = config.name;
  options.allow_other = geteuid() == 0;
  for (const std::string& option : arguments.options) {
    if (option != "force_degraded") options.extra.push_back(option);
  }
  return options;
}

/// Waits for SIGTERM or SIGINT and ends the session.
class SignalThread {
 public:
  explicit SignalThread(MountSession& session) : session_(session) {
    thread_ = std::thread([this] {
      sigset_t set = signals();
      for (;;) {
        int signal = 0;
        if (sigwait(&set, &signal) != 0) continue;
        if (done_) return;
        if (signal == SIGHUP) continue;
        session_.stop();
      }
    });
  }
  ~SignalThread() {
    done_ = true;
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }
  static sigset_t signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    return set;
  }

 private:
  MountSession& session_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

struct Failure {
  Error error;
  int code;
};

int code_of_open(const Error& error) {
  if (error.code() == ErrorCode::kBusy) return kInUse;
  if (error.code() == ErrorCode::kForeign) return kFailed;
  return exit_code_of(error) == kUsage ? kFailed : exit_code_of(error);
}

/// The next `stavefs mount POOL` needs no directory.
void remember_mount_point(HostConfig config, const std::string& directory) {
  if (config.mount_point == directory) return;
  config.mount_point = directory;
  if (auto saved = save_host_config(config); !saved)
    log_warning("the mount point is not remembered: {}", saved.error().to_text());
}

/// The daemon's life.  Nothing when it ended well.
std::optional<Failure> serve(const MountArguments& arguments, const HostConfig& config,
                             const std::string& directory, Reporter& reporter) {
  const sigset_t signals = SignalThread::signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
  MountOptions options = session_options(arguments, directory, config);
  if (auto good = MountSession::check(options); !good) {
    const int code = good.error().code() == ErrorCode::kBusy ? kBusy : kFailed;
    return Failure{std::move(good.error()), code};
  }
  if (auto made = make_directories(state_directory()); !made)
    return Failure{std::move(made.error()), kFailed};
  if (auto made = make_directories(run_directory()); !made) return Failure{std::move(made.error()), kFailed};

  Engine::Options engine_options;
  engine_options.disk_paths = config.disks;
  engine_options.witness_path = witness_path(config.name);
  engine_options.memory.total_bytes = config.memory_bytes;
  engine_options.expected_pool = config.id;
  engine_options.force_degraded = arguments.force_degraded;
  auto engine = Engine::open(engine_options);
  if (!engine) {
    const int code = code_of_open(engine.error());
    return Failure{std::move(engine.error()), code};
  }
  options.on_answered = [&] {
    remember_mount_point(config, directory);
    reporter.report(kOk, "");
    sd_notify(0, "READY=1\nSTATUS=mounted");
  };
  auto session = MountSession::mount((*engine)->fs(), (*engine)->buffers(), options);
  if (!session) {
    (void)(*engine)->close();
    const int code = session.error().code() == ErrorCode::kBusy ? kBusy : kFailed;
    return Failure{std::move(session.error()), code};
  }
  MountSession& mounted = **session;
  auto control =
      ControlServer::start(**engine, socket_path(config.name), directory,
                           [&mounted](const std::string& name) { mounted.name_changed(kRootInode, name); });
  if (!control) {
    session->reset();
    (void)(*engine)->close();
    const int code = control.error().code() == ErrorCode::kBusy ? kInUse : kFailed;
    return Failure{std::move(control.error()), code};
  }
  Status ran = ok();
  {
    SignalThread signal_thread(mounted);
    ran = mounted.run();
  }
  sd_notify(0, "STOPPING=1");
  (*control)->let_go();
  Status closed = (*engine)->close();
  session->reset();
  engine->reset();
  // The socket goes last: whoever waits for the end of the daemon waits for it.
  (*control)->finish(closed);
  (*control)->stop();
  if (!ran) return Failure{std::move(ran.error()), kFailed};
  if (!closed) return Failure{std::move(closed.error()).with_context("unmount"), kFailed};
  return std::nullopt;
}

int run_foreground(const Globals& globals, const MountArguments& arguments, const HostConfig& config,
                   const std::string& directory) {
  Reporter reporter(-1);
  auto failure = serve(arguments, config, directory, reporter);
  return failure ? fail(globals, failure->error, failure->code) : static_cast<int>(kOk);
}

[[noreturn]] void run_daemon(const MountArguments& arguments, const HostConfig& config,
                             const std::string& directory, int report_fd) {
  setsid();
  pin_directories();
  if (::chdir("/") != 0) log_warning("chdir /: {}", std::strerror(errno));
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  (void)make_directories(state_directory());
  const std::string log_path = state_directory() + "/" + config.name + ".log";
  if (null >= 0) {
    ::dup2(null, STDIN_FILENO);
    ::dup2(null, STDOUT_FILENO);
    ::dup2(null, STDERR_FILENO);
  }
  (void)log_to_file(log_path);
  Reporter reporter(report_fd);
  auto failure = serve(arguments, config, directory, reporter);
  if (failure) {
    log_error("{}", failure->error.to_text());
    const bool plain = failure->error.code() == ErrorCode::kInvalid && !failure->error.message().empty();
    reporter.report(failure->code, plain ? failure->error.message() : failure->error.to_text());
    std::_Exit(failure->code);
  }
  std::_Exit(kOk);
}

int run_background(const Globals& globals, const MountArguments& arguments, const HostConfig& config,
                   const std::string& directory) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(globals, errno_error(errno, "pipe"), kFailed);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return fail(globals, errno_error(errno, "fork"), kFailed);
  if (child == 0) {
    ::close(ends[0]);
    run_daemon(arguments, config, directory, ends[1]);
  }
  ::close(ends[1]);
  std::string report;
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) != 0;) {
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    report.append(buffer, static_cast<size_t>(n));
  }
  ::close(ends[0]);
  if (report.empty()) {
    return fail(
        globals,
        Error(ErrorCode::kIo, 0,
              "the daemon died while it was starting; see " + state_directory() + "/" + config.name + ".log"),
        kFailed);
  }
  if (report[0] != kOk) return fail(globals, Error(ErrorCode::kIo, 0, report.substr(1)), report[0]);
  if (globals.json) {
    print_json({{"output_version", 1}, {"pool", config.name}, {"mount_point", directory}});
  }
  return kOk;
}

}  // namespace

int mount(const Globals& globals, const MountArguments& arguments) {
  auto config = load_host_config(arguments.pool);
  if (!config) {
    const int code = config.error().code() == ErrorCode::kNotFound ? kNoSuchPool : kUsage;
    return fail(globals, config.error(), code);
  }
  const std::string wanted = arguments.directory.empty() ? config->mount_point : arguments.directory;
  if (wanted.empty()) {
    return fail(globals,
                Error(ErrorCode::kInvalid, EINVAL,
                      "where to? stavefs mount " + arguments.pool + " DIR (it is remembered)"),
                kUsage);
  }
  auto directory = real_path(wanted);
  if (!directory && directory.error().errno_value() == ENOTCONN) directory = mount_point_path(wanted);
  if (!directory) {
    return fail(globals,
                Error(ErrorCode::kNotFound, directory.error().errno_value(),
                      "the mount point " + wanted + " cannot be used; make it: mkdir " + wanted),
                kFailed);
  }
  if (auto fits = check_mount_point(*directory); !fits) return fail(globals, fits.error(), kUsage);
  if (const std::string there = served_mount_point(config->name); !there.empty()) {
    return fail(globals, Error(ErrorCode::kBusy, 0, "pool \"" + config->name + "\" is mounted on " + there),
                kInUse);
  }
  MountArguments resolved = arguments;
  for (const std::string& option : arguments.options) {
    resolved.force_degraded = resolved.force_degraded || option == "force_degraded";
  }
  return arguments.foreground ? run_foreground(globals, resolved, *config, *directory)
                              : run_background(globals, resolved, *config, *directory);
}

int mount_helper(int argc, char** argv) {
  MountArguments arguments;
  bool fake = false;
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "-o" && i + 1 < argc) {
      std::string list = argv[++i];
      for (size_t start = 0; start <= list.size();) {
        const size_t comma = std::min(list.find(',', start), list.size());
        if (comma > start) arguments.options.push_back(list.substr(start, comma - start));
        start = comma + 1;
      }
    } else if ((word == "-t" || word == "-N") && i + 1 < argc) {
      ++i;  // the type, which we know; a namespace, which mount(8) has entered
    } else if (word.starts_with("-")) {
      fake = fake || word.find('f') != std::string::npos;
    } else {
      words.push_back(word);
    }
  }
  if (words.size() != 2) {
    std::fprintf(stderr, "usage: mount.stavefs POOL DIR [-o OPTIONS]\n");
    return kUsage;
  }
  if (fake) return kOk;
  arguments.pool = words[0];
  arguments.directory = words[1];
  return mount(Globals{}, arguments);
}

}  // namespace stavefs::cli
