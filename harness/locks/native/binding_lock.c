// The Mutex type, and what all three lock types share.

#include "binding.h"

#include <string.h>

void lock_text(LockObject *lock, char *out, size_t room)
{
	struct hd_mutex *m = lock->at.any; // all lock records begin alike
	struct hd_arena *a = lock->arena->a;
	struct hd_class *c = (struct hd_class *)hd_at(a, a->classes) + m->class_id;
	snprintf(out, room, "%.39s[%u]", c->name[0] ? c->name : "lock", m->instance);
}

static void *record_at(struct hd_arena *a, unsigned long long offset, size_t size)
{
	if (offset % 8 || offset < sizeof(struct hd_arena) || offset > a->size - size) {
		PyErr_Format(PyExc_ValueError, "no lock record of %zu bytes fits at offset %llu of %llu", size, offset,
			     (unsigned long long)a->size);
		return NULL;
	}
	return hd_at(a, offset);
}

int lock_new_at(LockObject *self, PyObject *args, PyObject *kwds, size_t record_size)
{
	static char *words[] = {"arena", "offset", NULL};
	ArenaObject *arena;
	unsigned long long offset;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "O!K", words, arena_type, &arena, &offset))
		return -1;
	void *at = record_at(arena->a, offset, record_size);
	if (!at)
		return -1;
	Py_INCREF(arena);
	Py_XSETREF(self->arena, arena);
	self->at.any = at;
	self->offset = offset;
	return 0;
}

PyObject *lock_format_args(PyObject *args, struct hd_arena **a, void **at, unsigned *class_id, unsigned *instance, size_t size)
{
	ArenaObject *arena;
	unsigned long long offset;
	if (!PyArg_ParseTuple(args, "O!KII:format", arena_type, &arena, &offset, class_id, instance))
		return NULL;
	if (*class_id >= HD_MAX_CLASSES)
		return PyErr_Format(PyExc_ValueError, "no lock class %u", *class_id);
	*a = arena->a;
	*at = record_at(arena->a, offset, size);
	return *at ? Py_None : NULL;
}

// Seconds from now -> absolute ns; None -> 0, "without limit".
int parse_timeout(PyObject *timeout, uint64_t *deadline)
{
	*deadline = 0;
	if (!timeout || timeout == Py_None)
		return 0;
	double seconds = PyFloat_AsDouble(timeout);
	if (seconds == -1.0 && PyErr_Occurred())
		return -1;
	if (!(seconds >= 0) || seconds > 1e9) {
		PyErr_Format(PyExc_ValueError, "timeout %R is no number of seconds (None waits without limit)", timeout);
		return -1;
	}
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	*deadline = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec + (uint64_t)(seconds * 1e9) + 1;
	return 0;
}

// HD_OK, HD_TIMED_OUT, or an exception set (HD_OWNER_DIED: and the lock held; HD_SYSTEM: any other).
enum hd_status mutex_acquire(LockObject *self, uint64_t deadline)
{
	struct hd_arena *a = self->arena->a;
	struct hd_mutex *m = self->at.mutex;
	struct hd_seat *s = seat_of(a);
	if (!s)
		return HD_SYSTEM;
	uint32_t site = current_site(a);
	if (s->depth)
		NOISE(a, s, HD_NOISE_NEXT_LOCK);
	enum hd_status status = hd_mutex_try(a, s, m, site, true);
	if (status == HD_OK)
		return HD_OK;
	if (status == HD_BUSY && hd_mutex_spin(a, s, m))
		status = hd_mutex_try(a, s, m, site, false); // its order has been looked at
	while (status == HD_BUSY || status == HD_INTERRUPTED) {
		Py_BEGIN_ALLOW_THREADS status = hd_mutex_wait(a, s, m, site, deadline);
		Py_END_ALLOW_THREADS
		if (status == HD_INTERRUPTED && PyErr_CheckSignals() < 0) {
			atomic_fetch_sub(&m->waiters, 1);
			hd_wait_end(s);
			return HD_SYSTEM;
		}
	}
	if (status == HD_OK || status == HD_TIMED_OUT)
		return status;
	if (status == HD_SELF_DEADLOCK) {
		struct hd_held *h = hd_find_held(s, self->offset);
		char name[64], text[192];
		lock_text(self, name, sizeof name);
		snprintf(text, sizeof text, "asks for %s, which it already holds", name);
		Py_BEGIN_ALLOW_THREADS hd_report(a, s, HD_REPORT_SELF_DEADLOCK, self->offset, self->offset,
						 h ? h->site : 0, site, text);
		Py_END_ALLOW_THREADS
	}
	if (status == HD_OWNER_DIED)
		hd_report(a, s, HD_REPORT_OWNER_DIED, 0, self->offset, 0, site, "takes a lock whose last holder died inside");
	raise_status(status, self, "acquire");
	return status == HD_OWNER_DIED ? status : HD_SYSTEM;
}

static PyObject *mutex_py_acquire(LockObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
	uint64_t deadline = 0;
	Py_ssize_t words = names ? PyTuple_GET_SIZE(names) : 0;
	if (count + words > 1 || (words && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout")))
		return PyErr_Format(PyExc_TypeError, "acquire(timeout=None)");
	if (count + words && parse_timeout(args[0], &deadline) < 0)
		return NULL;
	switch (mutex_acquire(self, deadline)) {
	case HD_OK:
		Py_RETURN_TRUE;
	case HD_TIMED_OUT:
		Py_RETURN_FALSE;
	default:
		return NULL;
	}
}

static PyObject *mutex_try_acquire(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_arena *a = self->arena->a;
	struct hd_seat *s = seat_of(a);
	if (!s)
		return NULL;
	enum hd_status status = hd_mutex_try(a, s, self->at.mutex, current_site(a), false);
	if (status == HD_OK)
		Py_RETURN_TRUE;
	if (status == HD_BUSY)
		Py_RETURN_FALSE;
	return raise_status(status, self, "try_acquire");
}

static int mutex_release(LockObject *self)
{
	struct hd_arena *a = self->arena->a;
	struct hd_seat *s = seat_of(a);
	if (!s)
		return -1;
	enum hd_status status = hd_mutex_release(a, s, self->at.mutex);
	if (status == HD_OK) {
		NOISE(a, s, HD_NOISE_AFTER_RELEASE);
		return 0;
	}
	if (status == HD_NOT_OWNER)
		hd_report(a, s, HD_REPORT_CONTRACT, 0, self->offset, 0, current_site(a), "releases a lock that it does not hold");
	raise_status(status, self, "release");
	return -1;
}

static PyObject *mutex_py_release(LockObject *self, PyObject *unused)
{
	(void)unused;
	if (mutex_release(self) < 0)
		return NULL;
	Py_RETURN_NONE;
}

static PyObject *mutex_enter(LockObject *self, PyObject *unused)
{
	(void)unused;
	enum hd_status status = mutex_acquire(self, 0);
	if (status == HD_OK)
		Py_RETURN_TRUE;
	// `with` never runs its body after an error, so nobody would release: abandon.
	// acquire() is for those who can repair.
	if (status == HD_OWNER_DIED)
		hd_mutex_abandon(self->arena->a, hd_me(self->arena->a), self->at.mutex);
	return NULL;
}

static PyObject *mutex_exit(LockObject *self, PyObject *const *args, Py_ssize_t count)
{
	(void)args;
	(void)count;
	return mutex_py_release(self, NULL);
}

static PyObject *mutex_held(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = hd_me(self->arena->a);
	return PyBool_FromLong(s && self->at.mutex->owner == s->number);
}

static PyObject *mutex_locked(LockObject *self, PyObject *unused)
{
	(void)unused;
	return PyBool_FromLong(self->at.mutex->owner != 0);
}

static PyObject *mutex_holder(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_arena *a = self->arena->a;
	uint32_t owner = self->at.mutex->owner;
	if (!owner || owner > a->seat_count)
		Py_RETURN_NONE;
	const struct hd_seat *s = (struct hd_seat *)hd_at(a, a->seats) + (owner - 1);
	return Py_BuildValue("(IIIsNK)", owner, s->pid, s->tid, s->role, site_tuple(a, self->at.mutex->site),
			     (unsigned long long)self->at.mutex->since);
}

static PyObject *mutex_recover(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = seat_of(self->arena->a);
	if (!s)
		return NULL;
	enum hd_status status = hd_mutex_recover(s, self->at.mutex);
	if (status != HD_OK)
		return raise_status(status, self, "recover");
	Py_RETURN_NONE;
}

static PyObject *mutex_format(PyObject *unused, PyObject *args)
{
	(void)unused;
	struct hd_arena *a;
	void *at;
	unsigned class_id, instance;
	if (!lock_format_args(args, &a, &at, &class_id, &instance, sizeof(struct hd_mutex)))
		return NULL;
	if (hd_mutex_init(at, (uint16_t)class_id, instance) != HD_OK)
		return PyErr_SetFromErrno(PyExc_OSError);
	Py_RETURN_NONE;
}

static int mutex_init(LockObject *self, PyObject *args, PyObject *kwds)
{
	return lock_new_at(self, args, kwds, sizeof(struct hd_mutex));
}

static void lock_dealloc(LockObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	Py_CLEAR(self->arena);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyObject *get_offset(LockObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLongLong(self->offset);
}

static PyObject *get_class_id(LockObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->at.mutex->class_id);
}

static PyObject *get_instance(LockObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->at.mutex->instance);
}

static PyObject *get_name(LockObject *self, void *unused)
{
	(void)unused;
	char name[64];
	lock_text(self, name, sizeof name);
	return PyUnicode_FromString(name);
}

static PyObject *get_arena(LockObject *self, void *unused)
{
	(void)unused;
	Py_INCREF(self->arena);
	return (PyObject *)self->arena;
}

PyGetSetDef lock_getset[] = {
	{"offset", (getter)get_offset, NULL, "offset of the record in the arena", NULL},
	{"class_id", (getter)get_class_id, NULL, "lock class", NULL},
	{"instance", (getter)get_instance, NULL, "number within the class", NULL},
	{"name", (getter)get_name, NULL, "class[instance]", NULL},
	{"arena", (getter)get_arena, NULL, "the native arena", NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

#define M(name, function, flags) {name, (PyCFunction)(void (*)(void))function, flags, NULL}
static PyMethodDef methods[] = {
	M("acquire", mutex_py_acquire, METH_FASTCALL | METH_KEYWORDS),
	M("try_acquire", mutex_try_acquire, METH_NOARGS),
	M("release", mutex_py_release, METH_NOARGS),
	M("__enter__", mutex_enter, METH_NOARGS),
	M("__exit__", mutex_exit, METH_FASTCALL),
	M("held", mutex_held, METH_NOARGS),
	M("locked", mutex_locked, METH_NOARGS),
	M("holder", mutex_holder, METH_NOARGS),
	M("recover", mutex_recover, METH_NOARGS),
	M("format", mutex_format, METH_VARARGS | METH_STATIC),
	{NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
	{Py_tp_init, mutex_init}, {Py_tp_dealloc, lock_dealloc}, {Py_tp_methods, methods},
	{Py_tp_getset, lock_getset}, {Py_tp_new, PyType_GenericNew}, {0, NULL},
};

PyType_Spec mutex_spec = {
	"harness._native.Mutex", sizeof(LockObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots,
};

int any_release(PyObject *lock)
{
	if (PyObject_TypeCheck(lock, mutex_type))
		return mutex_release((LockObject *)lock);
	LockObject *rw = (LockObject *)lock;
	struct hd_seat *s = seat_of(rw->arena->a);
	enum hd_status status = s ? hd_rw_release(rw->arena->a, s, rw->at.rw) : HD_SYSTEM;
	if (s && status != HD_OK)
		raise_status(status, rw, "release");
	return status == HD_OK ? 0 : -1;
}
