/* Preloaded into a host: counts what a thread does between guard_enter and guard_leave that an audio callback
 * must not do. For glibc. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <time.h>

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* old);

static __thread int inside __attribute__((tls_model("initial-exec")));
static long allocations, locks, waits; /* only the callback's thread counts */

void guard_enter(void) { inside = 1; }
void guard_leave(void) { inside = 0; }
long guard_allocations(void) { return allocations; }
long guard_locks(void) { return locks; }
long guard_waits(void) { return waits; }

void* malloc(size_t size) {
  allocations += inside;
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  allocations += inside;
  return __libc_calloc(count, size);
}

void* realloc(void* old, size_t size) {
  allocations += inside;
  return __libc_realloc(old, size);
}

void* memalign(size_t alignment, size_t size) {
  allocations += inside;
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void** made, size_t alignment, size_t size) {
  *made = memalign(alignment, size);
  return *made == NULL ? 12 : 0;
}

void free(void* old) {
  allocations += inside;
  __libc_free(old);
}

/* Passes a call with one or two arguments on to glibc. */
#define COUNTED(counter, name, type, argument)                \
  int name(type argument) {                                   \
    static int (*next)(type);                                 \
    if (inside) ++counter;                                    \
    if (!next) next = (int (*)(type))dlsym(RTLD_NEXT, #name); \
    return next(argument);                                    \
  }
#define COUNTED_TWO(counter, name, type, argument, other_type, other)     \
  int name(type argument, other_type other) {                             \
    static int (*next)(type, other_type);                                 \
    if (inside) ++counter;                                                \
    if (!next) next = (int (*)(type, other_type))dlsym(RTLD_NEXT, #name); \
    return next(argument, other);                                         \
  }

COUNTED(locks, pthread_mutex_lock, pthread_mutex_t*, mutex)
COUNTED(locks, pthread_mutex_trylock, pthread_mutex_t*, mutex)
COUNTED(locks, pthread_rwlock_rdlock, pthread_rwlock_t*, lock)
COUNTED(locks, pthread_rwlock_wrlock, pthread_rwlock_t*, lock)
COUNTED(locks, pthread_spin_lock, pthread_spinlock_t*, lock)
COUNTED(waits, sem_wait, sem_t*, semaphore)
COUNTED_TWO(waits, pthread_cond_wait, pthread_cond_t*, condition, pthread_mutex_t*, mutex)
COUNTED_TWO(waits, pthread_join, pthread_t, thread, void**, result)
COUNTED_TWO(waits, nanosleep, const struct timespec*, time, struct timespec*, rest)

int clock_nanosleep(clockid_t clock, int flags, const struct timespec* time, struct timespec* rest) {
  static int (*next)(clockid_t, int, const struct timespec*, struct timespec*);
  if (inside) ++waits;
  if (!next)
    next = (int (*)(clockid_t, int, const struct timespec*, struct timespec*))dlsym(RTLD_NEXT,
                                                                                    "clock_nanosleep");
  return next(clock, flags, time, rest);
}
