/* A disk that fails when it is told to: preloaded into a program, this makes what it does to files below the
 * directory DISK_FAULTS fail in the way that the file DISK_FAULTS.how names, read anew each time.
 *
 *   full       nothing new is written
 *   short      the same, but half of what is written fits
 *   unsynced   nothing becomes durable
 *   read-only  nothing is changed
 *   (empty)    all is well
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum fault { WELL, FULL, SHORT, UNSYNCED, READ_ONLY };

static enum fault fault(void) {
    const char *directory = getenv("DISK_FAULTS");
    char path[PATH_MAX], how[16] = "";
    if (!directory) return WELL;
    snprintf(path, sizeof path, "%s.how", directory);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) return WELL;
    ssize_t got = syscall(SYS_read, fd, how, sizeof how - 1);
    syscall(SYS_close, fd);
    if (got <= 0) return WELL;
    if (!strcmp(how, "full")) return FULL;
    if (!strcmp(how, "short")) return SHORT;
    if (!strcmp(how, "unsynced")) return UNSYNCED;
    if (!strcmp(how, "read-only")) return READ_ONLY;
    abort();
}

/* The fault of a place, which is well unless it lies below the directory. */
static enum fault at_path(const char *path) {
    const char *directory = getenv("DISK_FAULTS");
    size_t length = directory ? strlen(directory) : 0;
    if (!length || strncmp(path, directory, length) || path[length] != '/') return WELL;
    return fault();
}

static enum fault at_file(int fd) {
    char link[32], path[PATH_MAX];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length < 0) return WELL;
    path[length] = 0;
    return at_path(path);
}

static int fails(int error) {
    errno = error;
    return -1;
}

/* Whether a change of what is there fails, and how. */
static int unchangeable(enum fault fault) { return fault == READ_ONLY ? EROFS : 0; }

/* Whether something new finds no room. */
static int unaddable(enum fault fault) {
    return fault == FULL || fault == SHORT ? ENOSPC : unchangeable(fault);
}

#define REAL(type, name, ...)                                  \
    static type (*real)(__VA_ARGS__);                          \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define OPENS(name)                                                            \
    int name(const char *path, int flags, ...) {                               \
        REAL(int, #name, const char *, int, ...);                              \
        va_list rest;                                                          \
        va_start(rest, flags);                                                 \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;              \
        va_end(rest);                                                          \
        enum fault fault = at_path(path);                                      \
        int writes = (flags & O_ACCMODE) != O_RDONLY;                          \
        if (writes && unchangeable(fault)) return fails(unchangeable(fault));  \
        int is_new = (flags & O_CREAT) && access(path, F_OK);                  \
        if (is_new && unaddable(fault)) return fails(unaddable(fault));        \
        return real(path, flags, mode);                                        \
    }
OPENS(open)
OPENS(open64)

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    int error = unaddable(at_path(path));
    return error ? fails(error) : real(path, mode);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    int error = unchangeable(at_path(path));
    return error ? fails(error) : real(path);
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    int error = unchangeable(at_path(to));
    return error ? fails(error) : real(from, to);
}

#define CUTS(name, offset)                                     \
    int name(int fd, offset length) {                          \
        REAL(int, #name, int, offset);                         \
        int error = unchangeable(at_file(fd));                 \
        return error ? fails(error) : real(fd, length);        \
    }
CUTS(ftruncate, off_t)
CUTS(ftruncate64, off64_t)

#define SYNCS(name)                                                            \
    int name(int fd) {                                                         \
        REAL(int, #name, int);                                                 \
        enum fault fault = at_file(fd);                                        \
        return fault == UNSYNCED || fault == READ_ONLY ? fails(EIO) : real(fd); \
    }
SYNCS(fsync)
SYNCS(fdatasync)

/* How many of these bytes are taken; none is a failure. */
static size_t taken(enum fault fault, size_t count) {
    return fault == SHORT ? count / 2 : unaddable(fault) ? 0 : count;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    enum fault fault = at_file(fd);
    size_t fit = taken(fault, count);
    return count && !fit ? fails(unaddable(fault)) : real(fd, bytes, fit);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    int error = unaddable(at_file(fd));
    return error ? fails(error) : real(fd, parts, count);
}

#define WRITES_AT(name, offset)                                                    \
    ssize_t name(int fd, const void *bytes, size_t count, offset at) {             \
        REAL(ssize_t, #name, int, const void *, size_t, offset);                   \
        enum fault fault = at_file(fd);                                            \
        size_t fit = taken(fault, count);                                          \
        return count && !fit ? fails(unaddable(fault)) : real(fd, bytes, fit, at); \
    }
WRITES_AT(pwrite, off_t)
WRITES_AT(pwrite64, off64_t)
