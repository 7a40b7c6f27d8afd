// The RwLock and Channel types.

#include "binding.h"

#include <string.h>

extern PyGetSetDef lock_getset[];

static void lock_dealloc(LockObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	Py_CLEAR(self->arena);
	type->tp_free(self);
	Py_DECREF(type);
}

static void report_misuse(LockObject *self, struct hd_seat *s, enum hd_status status, uint32_t site)
{
	struct hd_arena *a = self->arena->a;
	struct hd_held *h = hd_find_held(s, self->offset);
	char name[64], text[192];
	lock_text(self, name, sizeof name);
	if (status == HD_SELF_DEADLOCK) {
		snprintf(text, sizeof text, "asks for %s, which it already holds", name);
		Py_BEGIN_ALLOW_THREADS hd_report(a, s, HD_REPORT_SELF_DEADLOCK, self->offset, self->offset,
						 h ? h->site : 0, site, text);
		Py_END_ALLOW_THREADS
	} else if (status == HD_NOT_OWNER) {
		hd_report(a, s, HD_REPORT_CONTRACT, 0, self->offset, 0, site, "releases a lock that it does not hold");
	} else if (status == HD_OWNER_DIED) {
		hd_report(a, s, HD_REPORT_OWNER_DIED, 0, self->offset, 0, site, "takes a lock whose last holder died inside");
	}
}

static enum hd_status rw_acquire(LockObject *self, uint8_t kind, bool pass, uint64_t deadline)
{
	struct hd_arena *a = self->arena->a;
	struct hd_rwlock *l = self->at.rw;
	struct hd_seat *s = seat_of(a);
	if (!s)
		return HD_SYSTEM;
	uint32_t site = current_site(a);
	if (s->depth)
		NOISE(a, s, HD_NOISE_NEXT_LOCK);
	enum hd_status status = hd_rw_try(a, s, l, kind, pass, site, true);
	bool first = true;
	while (status == HD_BUSY || status == HD_INTERRUPTED) {
		Py_BEGIN_ALLOW_THREADS status = hd_rw_wait(a, s, l, kind, pass, site, deadline, first);
		Py_END_ALLOW_THREADS
		first = false;
		if (status == HD_INTERRUPTED && PyErr_CheckSignals() < 0) {
			hd_rw_cancel(a, s, l);
			return HD_SYSTEM;
		}
	}
	if (status == HD_OK || status == HD_TIMED_OUT)
		return status;
	report_misuse(self, s, status, site);
	raise_status(status, self, kind == HD_READ ? "read" : "write");
	return status == HD_OWNER_DIED ? status : HD_SYSTEM;
}

static PyObject *truth(enum hd_status status)
{
	if (status == HD_OK)
		Py_RETURN_TRUE;
	if (status == HD_TIMED_OUT)
		Py_RETURN_FALSE;
	return NULL;
}

static PyObject *rw_read(LockObject *self, PyObject *args, PyObject *kwds)
{
	static char *words[] = {"timeout", "pass_writers", NULL};
	PyObject *timeout = Py_None;
	int pass = 0;
	uint64_t deadline;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "|Op:read", words, &timeout, &pass) || parse_timeout(timeout, &deadline) < 0)
		return NULL;
	return truth(rw_acquire(self, HD_READ, pass, deadline));
}

static PyObject *rw_write(LockObject *self, PyObject *args, PyObject *kwds)
{
	static char *words[] = {"timeout", NULL};
	PyObject *timeout = Py_None;
	uint64_t deadline;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "|O:write", words, &timeout) || parse_timeout(timeout, &deadline) < 0)
		return NULL;
	return truth(rw_acquire(self, HD_WRITE, false, deadline));
}

static PyObject *rw_try(LockObject *self, uint8_t kind)
{
	struct hd_arena *a = self->arena->a;
	struct hd_seat *s = seat_of(a);
	if (!s)
		return NULL;
	enum hd_status status = hd_rw_try(a, s, self->at.rw, kind, false, current_site(a), false);
	if (status == HD_OK)
		Py_RETURN_TRUE;
	if (status == HD_BUSY)
		Py_RETURN_FALSE;
	return raise_status(status, self, "try");
}

static PyObject *rw_try_read(LockObject *self, PyObject *unused)
{
	(void)unused;
	return rw_try(self, HD_READ);
}

static PyObject *rw_try_write(LockObject *self, PyObject *unused)
{
	(void)unused;
	return rw_try(self, HD_WRITE);
}

static PyObject *rw_upgrade(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_arena *a = self->arena->a;
	struct hd_seat *s = seat_of(a);
	if (!s)
		return NULL;
	uint32_t site = current_site(a);
	enum hd_status status = HD_INTERRUPTED;
	for (bool first = true; status == HD_INTERRUPTED; first = false) {
		Py_BEGIN_ALLOW_THREADS status = hd_rw_upgrade(a, s, self->at.rw, site, first);
		Py_END_ALLOW_THREADS
		if (status == HD_INTERRUPTED && PyErr_CheckSignals() < 0) {
			hd_rw_cancel(a, s, self->at.rw);
			return NULL;
		}
	}
	if (status == HD_OK)
		Py_RETURN_TRUE;
	if (status == HD_BUSY)
		Py_RETURN_FALSE;
	report_misuse(self, s, status, site);
	return raise_status(status, self, "upgrade");
}

static PyObject *rw_downgrade(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = seat_of(self->arena->a);
	if (!s)
		return NULL;
	enum hd_status status = hd_rw_downgrade(self->arena->a, s, self->at.rw);
	if (status == HD_OK)
		Py_RETURN_NONE;
	report_misuse(self, s, status, current_site(self->arena->a));
	return raise_status(status, self, "downgrade");
}

static PyObject *rw_release(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_arena *a = self->arena->a;
	struct hd_seat *s = seat_of(a);
	if (!s)
		return NULL;
	enum hd_status status = hd_rw_release(a, s, self->at.rw);
	if (status == HD_OK) {
		NOISE(a, s, HD_NOISE_AFTER_RELEASE);
		Py_RETURN_NONE;
	}
	report_misuse(self, s, status, current_site(a));
	return raise_status(status, self, "release");
}

static PyObject *rw_enter(LockObject *self, PyObject *unused)
{
	(void)unused;
	enum hd_status status = rw_acquire(self, HD_WRITE, false, 0);
	if (status == HD_OWNER_DIED) // nobody would release: see mutex_enter
		hd_rw_release(self->arena->a, hd_me(self->arena->a), self->at.rw);
	return truth(status);
}

static PyObject *rw_exit(LockObject *self, PyObject *const *args, Py_ssize_t count)
{
	(void)args;
	(void)count;
	return rw_release(self, NULL);
}

static PyObject *rw_held(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = hd_me(self->arena->a);
	struct hd_held *h = s ? hd_find_held(s, self->offset) : NULL;
	if (!h)
		Py_RETURN_NONE;
	return PyUnicode_FromString(h->kind == HD_READ ? "read" : "write");
}

static PyObject *rw_holders(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_arena *a = self->arena->a;
	struct hd_seat *seats = hd_at(a, a->seats);
	PyObject *all = PyList_New(0);
	for (uint32_t i = 0; all && i < a->seat_count; i++) {
		struct hd_seat *s = &seats[i];
		struct hd_held *h = s->live == 2 ? hd_find_held(s, self->offset) : NULL;
		if (!h)
			continue;
		PyObject *row = Py_BuildValue("(IIIsNKs)", s->number, s->pid, s->tid, s->role, site_tuple(a, h->site),
					      (unsigned long long)h->since, h->kind == HD_READ ? "read" : "write");
		if (!row || PyList_Append(all, row) < 0)
			Py_CLEAR(all);
		Py_XDECREF(row);
	}
	return all;
}

static PyObject *rw_recover(LockObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = seat_of(self->arena->a);
	if (!s)
		return NULL;
	enum hd_status status = hd_rw_recover(s, self->arena->a, self->at.rw);
	if (status != HD_OK)
		return raise_status(status, self, "recover");
	Py_RETURN_NONE;
}

static PyObject *rw_format(PyObject *unused, PyObject *args)
{
	(void)unused;
	struct hd_arena *a;
	void *at;
	unsigned class_id, instance;
	if (!lock_format_args(args, &a, &at, &class_id, &instance, sizeof(struct hd_rwlock)))
		return NULL;
	if (hd_rw_init(at, (uint16_t)class_id, instance) != HD_OK)
		return PyErr_SetFromErrno(PyExc_OSError);
	Py_RETURN_NONE;
}

static int rw_init(LockObject *self, PyObject *args, PyObject *kwds)
{
	return lock_new_at(self, args, kwds, sizeof(struct hd_rwlock));
}

#define M(name, function, flags) {name, (PyCFunction)(void (*)(void))function, flags, NULL}
static PyMethodDef rw_methods[] = {
	M("read", rw_read, METH_VARARGS | METH_KEYWORDS), M("write", rw_write, METH_VARARGS | METH_KEYWORDS),
	M("acquire", rw_write, METH_VARARGS | METH_KEYWORDS), M("try_read", rw_try_read, METH_NOARGS),
	M("try_write", rw_try_write, METH_NOARGS), M("try_acquire", rw_try_write, METH_NOARGS),
	M("upgrade", rw_upgrade, METH_NOARGS), M("downgrade", rw_downgrade, METH_NOARGS),
	M("release", rw_release, METH_NOARGS), M("__enter__", rw_enter, METH_NOARGS),
	M("__exit__", rw_exit, METH_FASTCALL), M("held", rw_held, METH_NOARGS), M("holders", rw_holders, METH_NOARGS),
	M("recover", rw_recover, METH_NOARGS), M("format", rw_format, METH_VARARGS | METH_STATIC),
	{NULL, NULL, 0, NULL},
};

static PyType_Slot rw_slots[] = {
	{Py_tp_init, rw_init}, {Py_tp_dealloc, lock_dealloc}, {Py_tp_methods, rw_methods},
	{Py_tp_getset, lock_getset}, {Py_tp_new, PyType_GenericNew}, {0, NULL},
};

PyType_Spec rwlock_spec = {
	"harness._native.RwLock", sizeof(LockObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, rw_slots,
};

static PyObject *channel_intend(LockObject *self, PyObject *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->at.channel->seq);
}

// Publishes the wait, lets go of `lock`, and sleeps until a wakeup that came after
// the intent.  Between publishing and sleeping nothing can be lost: seq is compared
// by the kernel under its own lock.
static PyObject *channel_block(LockObject *self, PyObject *args, PyObject *kwds)
{
	static char *words[] = {"intent", "wmesg", "address", "size", "op", "value", "timeout", "idle", "guard", "lock", NULL};
	unsigned int intent, size = 0, op = 0;
	unsigned long long address = 0, guard = 0;
	long long value = 0;
	PyObject *wmesg, *timeout = Py_None, *lock = Py_None;
	int idle = 0;
	uint64_t deadline;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "IU|KIILOpKO:block", words, &intent, &wmesg, &address, &size, &op,
					 &value, &timeout, &idle, &guard, &lock) ||
	    parse_timeout(timeout, &deadline) < 0)
		return NULL;
	if (lock != Py_None && !PyObject_TypeCheck(lock, mutex_type) && !PyObject_TypeCheck(lock, rwlock_type))
		return PyErr_Format(PyExc_TypeError, "lock must be a Mutex or a RwLock, not %R", lock);
	struct hd_arena *a = self->arena->a;
	struct hd_channel *c = self->at.channel;
	struct hd_seat *s = seat_of(a);
	if (!s)
		return NULL;
	uint32_t site = current_site(a), message = name_of(a, wmesg);
	if (PyErr_Occurred())
		return NULL;
	uint64_t released = lock != Py_None ? ((LockObject *)lock)->offset : 0;
	hd_check_sleep(a, s, released, site);
	s->sleeps++;
	NOISE(a, s, HD_NOISE_BEFORE_SLEEP);
	s->wait_message = message;
	s->wait_guard = released ? released : guard;
	s->wait_intent = intent;
	s->predicate_address = address;
	s->predicate_size = size;
	s->predicate_value = value;
	s->predicate_op = address ? op : HD_NO_PREDICATE;
	hd_wait_begin(s, idle ? HD_IDLE : HD_SLEEPING, self->offset, site, deadline);
	uint32_t singles = atomic_load(&c->singles);
	atomic_fetch_add(&c->waiters, 1);
	if (a->mode & HD_RECORD)
		hd_record(a, s, HD_EV_SLEEP, self->offset, site);
	enum hd_status status = HD_INTERRUPTED;
	if (released && any_release(lock) < 0)
		status = HD_SYSTEM;
	while (status == HD_INTERRUPTED) {
		Py_BEGIN_ALLOW_THREADS status = hd_channel_wait(a, s, c, intent, singles, deadline);
		Py_END_ALLOW_THREADS
		if (status == HD_INTERRUPTED && PyErr_CheckSignals() < 0)
			status = HD_SYSTEM;
	}
	atomic_fetch_sub(&c->waiters, 1);
	hd_wait_end(s);
	if (a->mode & HD_RECORD)
		hd_record(a, s, HD_EV_WOKEN, self->offset, site);
	return truth(status);
}

static PyObject *wake(LockObject *self, bool all)
{
	struct hd_arena *a = self->arena->a;
	struct hd_seat *s = seat_of(a);
	if (!s)
		return NULL;
	uint32_t site = current_site(a);
	NOISE(a, s, HD_NOISE_BEFORE_WAKEUP);
	if (a->mode & HD_RECORD)
		hd_record(a, s, HD_EV_WAKEUP, self->offset, site);
	hd_channel_wake(a, s, self->at.channel, site, all);
	Py_RETURN_NONE;
}

static PyObject *channel_wakeup(LockObject *self, PyObject *unused)
{
	(void)unused;
	return wake(self, true);
}

static PyObject *channel_wakeup_one(LockObject *self, PyObject *unused)
{
	(void)unused;
	return wake(self, false);
}

static PyObject *channel_format(PyObject *unused, PyObject *args)
{
	(void)unused;
	struct hd_arena *a;
	void *at;
	unsigned class_id, instance;
	if (!lock_format_args(args, &a, &at, &class_id, &instance, sizeof(struct hd_channel)))
		return NULL;
	hd_channel_init(at, (uint16_t)class_id, instance);
	Py_RETURN_NONE;
}

static int channel_init(LockObject *self, PyObject *args, PyObject *kwds)
{
	return lock_new_at(self, args, kwds, sizeof(struct hd_channel));
}

static PyMethodDef channel_methods[] = {
	M("intend", channel_intend, METH_NOARGS), M("block", channel_block, METH_VARARGS | METH_KEYWORDS),
	M("wakeup", channel_wakeup, METH_NOARGS), M("wakeup_one", channel_wakeup_one, METH_NOARGS),
	M("format", channel_format, METH_VARARGS | METH_STATIC), {NULL, NULL, 0, NULL},
};

static PyType_Slot channel_slots[] = {
	{Py_tp_init, channel_init}, {Py_tp_dealloc, lock_dealloc}, {Py_tp_methods, channel_methods},
	{Py_tp_getset, lock_getset}, {Py_tp_new, PyType_GenericNew}, {0, NULL},
};

PyType_Spec channel_spec = {
	"harness._native.Channel", sizeof(LockObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, channel_slots,
};
