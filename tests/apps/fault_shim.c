// Preloaded into a program (LD_PRELOAD), lets chosen file calls fail, and writes down all of them.
//
//   SQF_FAULTS=KIND:CALL:MODE,...   KIND as in kKinds; CALL counts from 1, with "+" for it and all
//                                   later ones, 0+ for all; MODE an errno word, or
//                                   short       one byte is written
//                                   after-EIO   done, and reported as failed
//                                   appear      somebody else creates the target just before
//                                   free-N      statvfs: N bytes are free
//                                   delay-N     waits N ms, whatever signals come
//   SQF_FAULT_LOG=FILE              one line a call: kind, result, offset, size
//
// Only descriptors of regular files and folders that the program opened itself count.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
  kCreate,
  kOpenFolder,
  kFallocate,
  kFtruncate,
  kWrite,
  kPwrite,
  kFsync,
  kFsyncFolder,
  kClose,
  kRename,
  kLink,
  kUnlink,
  kStatvfs,
  kMmap,
  kFlock,
  kThread,
  kKindCount
};
static const char* const kKinds[kKindCount] = {
    "create", "open_folder", "fallocate", "ftruncate", "write",   "pwrite", "fsync", "fsync_folder",
    "close",  "rename",      "link",      "unlink",    "statvfs", "mmap",   "flock", "thread"};
static const struct {
  const char* word;
  int number;
} kErrors[] = {
    {"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EINTR", EINTR},           {"EINVAL", EINVAL},
    {"EPERM", EPERM},   {"EACCES", EACCES}, {"EOPNOTSUPP", EOPNOTSUPP}, {"ENOSYS", ENOSYS},
    {"EDQUOT", EDQUOT}, {"EROFS", EROFS},   {"ENOMEM", ENOMEM},         {"EAGAIN", EAGAIN},
    {"ENOLCK", ENOLCK}};

struct fault {
  int kind, call, onwards;
  char mode[24];
};
static struct fault faults[16];
static int fault_count, log_fd = -1;
static int counts[kKindCount];
static char inherited[1024];

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  for (int fd = 0; fd < (int)sizeof inherited; fd++)
    inherited[fd] = syscall(SYS_fcntl, fd, F_GETFD) >= 0;
  const char* log = getenv("SQF_FAULT_LOG");
  if (log != NULL) {
    // A number that no descriptor of the program gets.
    const int fd =
        (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    log_fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 900);
    syscall(SYS_close, fd);
    if (log_fd >= 0) inherited[log_fd] = 1;
  }
  const char* text = getenv("SQF_FAULTS");
  while (text != NULL && *text != '\0' && fault_count < 16) {
    struct fault* f = &faults[fault_count];
    char kind[24];
    int used = 0;
    if (sscanf(text, "%23[^:]:%d%n", kind, &f->call, &used) < 2) _exit(99);
    text += used;
    if (*text == '+') f->onwards = 1, text++;
    if (sscanf(text, ":%23[^,]%n", f->mode, &used) < 1) _exit(99);
    text += used;
    if (*text == ',') text++;
    f->kind = -1;
    for (int i = 0; i < kKindCount; i++)
      if (strcmp(kind, kKinds[i]) == 0) f->kind = i;
    if (f->kind < 0) _exit(99);
    fault_count++;
  }
}

static int type_of(int fd) {
  struct stat info;
  const int before = errno;
  const int known =
      fd >= 0 && !(fd < (int)sizeof inherited && inherited[fd]) && fstat(fd, &info) == 0;
  errno = before;
  return known ? (int)(info.st_mode & S_IFMT) : 0;
}

static void wait_ms(long ms) {
  struct timespec left = {ms / 1000, ms % 1000 * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

static long number_in(const char* mode) {
  return strtol(strchr(mode, '-') + 1, NULL, 10);
}

/// Counts the call. Returns what is to happen to it: a mode, or null.
static const char* next_fault(int kind) {
  const int call = __atomic_add_fetch(&counts[kind], 1, __ATOMIC_SEQ_CST);
  const char* mode = NULL;
  for (int i = 0; i < fault_count; i++) {
    const struct fault* f = &faults[i];
    if (f->kind != kind || (f->onwards ? call < f->call : call != f->call)) continue;
    if (strncmp(f->mode, "delay-", 6) == 0)
      wait_ms(number_in(f->mode));
    else
      mode = f->mode;
  }
  return mode;
}

/// The errno that a mode stands for; 0: none.
static int error_of(const char* mode) {
  if (mode == NULL) return 0;
  if (strncmp(mode, "after-", 6) == 0) mode += 6;
  for (size_t i = 0; i < sizeof kErrors / sizeof *kErrors; i++)
    if (strcmp(mode, kErrors[i].word) == 0) return kErrors[i].number;
  return 0;
}

static int is(const char* mode, const char* word) {
  return mode != NULL && strncmp(mode, word, strlen(word)) == 0;
}

static void note(int kind, long result, long long offset, size_t size) {
  if (log_fd < 0) return;
  const int before = errno;
  char line[120];
  const int n =
      snprintf(line, sizeof line, "%s %ld %lld %zu\n", kKinds[kind], result, offset, size);
  syscall(SYS_write, log_fd, line, (size_t)n);
  errno = before;
}

/// The body of a wrapper: `call` is made or not, as the fault says; the value goes to the caller.
#define FAULTED(kind, offset, size, call)                   \
  do {                                                      \
    const char* mode_ = next_fault(kind);                   \
    const int error_ = error_of(mode_);                     \
    long result_ = -1;                                      \
    if (error_ == 0 || is(mode_, "after-")) result_ = call; \
    if (error_ != 0) errno = error_, result_ = -1;          \
    note(kind, result_, offset, size);                      \
    return (__typeof__(call))result_;                       \
  } while (0)

static void appear(const char* path) {
  const int fd =
      (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return;
  syscall(SYS_write, fd, "appeared", 8);
  syscall(SYS_close, fd);
}
static int opened(const char* path, int flags, mode_t mode, int (*real)(const char*, int, ...)) {
  if (flags & O_CREAT)
    FAULTED(kCreate, 0, 0, (is(mode_, "appear") ? appear(path) : (void)0, real(path, flags, mode)));
  if (flags & O_DIRECTORY) FAULTED(kOpenFolder, 0, 0, real(path, flags, mode));
  return real(path, flags, mode);
}
int open(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode, NEXT(open));
}
int open64(const char* path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return opened(path, flags, mode, NEXT(open64));
}

int fallocate(int fd, int mode, off_t offset, off_t size) {
  FAULTED(kFallocate, offset, (size_t)size, NEXT(fallocate)(fd, mode, offset, size));
}
int posix_fallocate(int fd, off_t offset, off_t size) {  // returns its error
  const int error = error_of(next_fault(kFallocate));
  const int result = error != 0 ? error : NEXT(posix_fallocate)(fd, offset, size);
  note(kFallocate, result, offset, (size_t)size);
  return result;
}
int ftruncate(int fd, off_t size) {
  FAULTED(kFtruncate, 0, (size_t)size, NEXT(ftruncate)(fd, size));
}

ssize_t write(int fd, const void* data, size_t size) {
  if (type_of(fd) != S_IFREG) return NEXT(write)(fd, data, size);
  FAULTED(kWrite, -1, size, NEXT(write)(fd, data, is(mode_, "short") ? 1 : size));
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  if (type_of(fd) != S_IFREG) return NEXT(pwrite)(fd, data, size, offset);
  FAULTED(kPwrite, offset, size, NEXT(pwrite)(fd, data, is(mode_, "short") ? 1 : size, offset));
}
ssize_t pwrite64(int fd, const void* data, size_t size, off_t offset) {
  return pwrite(fd, data, size, offset);
}

int fsync(int fd) {
  const int kind = type_of(fd) == S_IFDIR ? kFsyncFolder : kFsync;
  FAULTED(kind, 0, 0, NEXT(fsync)(fd));
}
int fdatasync(int fd) {
  FAULTED(kFsync, 0, 0, NEXT(fdatasync)(fd));
}

int close(int fd) {
  if (type_of(fd) == 0) return NEXT(close)(fd);
  // As on Linux: the descriptor is gone, whatever is said.
  const int error = error_of(next_fault(kClose));
  int result = NEXT(close)(fd);
  if (error != 0) errno = error, result = -1;
  note(kClose, result, 0, 0);
  return result;
}

int rename(const char* from, const char* to) {
  FAULTED(kRename, 0, 0, (is(mode_, "appear") ? appear(to) : (void)0, NEXT(rename)(from, to)));
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  FAULTED(kRename, 0, 0,
          (is(mode_, "appear") ? appear(to) : (void)0,
           NEXT(renameat2)(from_folder, from, to_folder, to, flags)));
}
int link(const char* from, const char* to) {
  FAULTED(kLink, 0, 0, (is(mode_, "appear") ? appear(to) : (void)0, NEXT(link)(from, to)));
}
int unlink(const char* path) {
  FAULTED(kUnlink, 0, 0, NEXT(unlink)(path));
}
int flock(int fd, int operation) {
  FAULTED(kFlock, 0, 0, NEXT(flock)(fd, operation));
}

int statvfs(const char* path, struct statvfs* disk) {
  const char* mode = next_fault(kStatvfs);
  const int error = error_of(mode);
  int result = error != 0 ? -1 : NEXT(statvfs)(path, disk);
  if (error != 0) errno = error;
  if (is(mode, "free-")) {
    disk->f_bsize = disk->f_frsize = 1;
    disk->f_bavail = disk->f_bfree = (fsblkcnt_t)number_in(mode);
  }
  if (is(mode, "unknown")) memset(disk, 0, sizeof *disk);
  note(kStatvfs, result, 0, 0);
  return result;
}

void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  static __typeof__(&mmap) real;  // allocators map, too: no dlsym() for them
  if (fd < 0 || type_of(fd) != S_IFREG)
    return (void*)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
  if (real == NULL) real = NEXT(mmap);
  const int error = error_of(next_fault(kMmap));
  void* result = MAP_FAILED;
  if (error == 0)
    result = real(at, size, protection, flags, fd, offset);
  else
    errno = error;
  note(kMmap, result == MAP_FAILED ? -1 : 0, offset, size);
  return result;
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) {
  const int error = error_of(next_fault(kThread));
  return error != 0 ? error : NEXT(pthread_create)(thread, attributes, run, argument);
}
