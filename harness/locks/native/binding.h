// What the halves of the Python binding share.

#ifndef HANGDOG_BINDING_H
#define HANGDOG_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "lockcore.h"

typedef struct {
	PyObject_HEAD
	Py_buffer view; // pins the mapping for as long as any lock object lives
	struct hd_arena *a;
} ArenaObject;

typedef struct {
	PyObject_HEAD
	ArenaObject *arena;
	union {
		struct hd_mutex *mutex;
		struct hd_rwlock *rw;
		struct hd_channel *channel;
		void *any;
	} at;
	uint64_t offset;
} LockObject;

extern PyTypeObject *arena_type, *mutex_type, *rwlock_type, *channel_type, *contract_type, *resolver_type;

// binding_module.c
PyObject *hd_error_class(const char *name); // borrowed, from harness.errors
PyObject *raise_status(enum hd_status status, LockObject *lock, const char *doing);
PyObject *raise_named(const char *class_name, const char *format, ...);

// binding_site.c
uint32_t current_site(struct hd_arena *a);
uint32_t current_sites(struct hd_arena *a, uint32_t *outer);

// binding_seat.c
PyObject *arena_begin(ArenaObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *arena_end(ArenaObject *self, PyObject *unused);
PyObject *arena_require_nothing_held(ArenaObject *self, PyObject *unused);
PyObject *arena_claim(ArenaObject *self, PyObject *arg);
PyObject *arena_unclaim(ArenaObject *self, PyObject *arg);
PyObject *arena_pass_on(ArenaObject *self, PyObject *arg);
PyObject *arena_changed(ArenaObject *self, PyObject *arg);
PyObject *arena_point(ArenaObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *arena_window(ArenaObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *arena_failure(ArenaObject *self, PyObject *unused);
struct hd_seat *seat_of(struct hd_arena *a); // seats the thread; NULL: exception set
uint32_t name_of(struct hd_arena *a, PyObject *text); // interned; 0: exception set or full
void lock_text(LockObject *lock, char *out, size_t room);
PyObject *site_tuple(struct hd_arena *a, uint32_t site);

// binding_lock.c
int lock_new_at(LockObject *self, PyObject *args, PyObject *kwds, size_t record_size);
PyObject *lock_format_args(PyObject *args, struct hd_arena **a, void **at, unsigned *class_id, unsigned *instance, size_t size);
int parse_timeout(PyObject *timeout, uint64_t *deadline); // None: 0
enum hd_status mutex_acquire(LockObject *self, uint64_t deadline);
int any_release(PyObject *lock); // Mutex or RwLock; -1: exception set
extern PyType_Spec arena_spec, mutex_spec, rwlock_spec, channel_spec, contract_spec, resolver_spec;

// True while a delay may be injected; the interpreter is let go during the delay.
#define NOISE(a, s, place)                                                                         \
	do {                                                                                       \
		if ((a)->mode & HD_NOISE) {                                                        \
			Py_BEGIN_ALLOW_THREADS hd_noise((a), (s), (place));                        \
			Py_END_ALLOW_THREADS                                                       \
		}                                                                                  \
	} while (0)

#endif
