// The Channel type.

#include "binding.h"
#include "docs_locks.h"

extern PyGetSetDef lock_getset[];

static PyObject *channel_intend(LockObject *self, PyObject *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->at.channel->seq);
}

static enum hd_status acquire_again(LockObject *lock, uint8_t kind)
{
	if (PyObject_TypeCheck(lock, mutex_type))
		return mutex_acquire(lock, 0, KEEPS_IT);
	return rw_acquire(lock, kind, false, 0, KEEPS_IT);
}

// What is raised is the first exception; a later one becomes a note of it.
static void note(PyObject *first, PyObject *later)
{
	PyObject *text = PyUnicode_FromFormat("while the lock was taken back: %R", later);
	PyObject *done = text ? PyObject_CallMethod(first, "add_note", "O", text) : NULL;
	Py_XDECREF(done);
	Py_XDECREF(text);
	PyErr_Clear();
}

static PyObject *fetched(void) // the exception that is set, out of the way; NULL: none
{
	PyObject *type, *value, *trace;
	PyErr_Fetch(&type, &value, &trace);
	if (!type)
		return NULL;
	PyErr_NormalizeException(&type, &value, &trace);
	if (trace)
		PyException_SetTraceback(value, trace);
	Py_DECREF(type);
	Py_XDECREF(trace);
	return value;
}

// Takes the lock that the sleeper released, whatever comes in between: the caller's `with`
// is going to release it, and NotOwner would hide what really happened.  So a signal
// handler's exception (a second Ctrl-C) does not end this wait.  Only a lock that cannot be had ends it
// without the lock: broken, or no seat.  -1: an exception is set (the one of the sleep first of all).
static int take_back(LockObject *lock, uint8_t kind)
{
	PyObject *first = fetched();
	for (bool again = true; again;) {
		enum hd_status status = acquire_again(lock, kind);
		PyObject *later = fetched(), *base = hd_error_class("HarnessError");
		again = later && status != HD_OWNER_DIED && !(base && PyErr_GivenExceptionMatches(later, base));
		if (later && first) {
			note(first, later);
			Py_DECREF(later);
		} else if (later) {
			first = later;
		}
	}
	if (!first)
		return 0;
	PyErr_SetObject((PyObject *)Py_TYPE(first), first);
	Py_DECREF(first);
	return -1;
}

// Publishes the wait, lets go of `lock`, and sleeps until a wakeup that came after
// the intent.  Between publishing and sleeping nothing can be lost: seq is compared
// by the kernel under its own lock.
static PyObject *channel_block(LockObject *self, PyObject *args, PyObject *kwds)
{
	static char *words[] = {"intent", "wmesg", "address", "size", "op", "value", "timeout", "idle", "guard", "lock", "keep", NULL};
	unsigned int intent, size = 0, op = 0;
	unsigned long long address = 0, guard = 0;
	long long value = 0;
	PyObject *wmesg, *timeout = Py_None, *lock = Py_None;
	int idle = 0, keep = 0;
	uint64_t deadline;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "IU|KIILOpKOp:block", words, &intent, &wmesg, &address, &size, &op,
					 &value, &timeout, &idle, &guard, &lock, &keep) ||
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
	struct hd_held *h = released ? hd_find_held(s, released) : NULL;
	uint8_t kind = h ? h->kind : HD_MUTEX;
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
	enum hd_status status = hd_channel_register(a, s, c, intent);
	if (a->mode & HD_RECORD)
		hd_record(a, s, HD_EV_SLEEP, self->offset, site);
	if (status == HD_FULL) {
		hd_wait_end(s);
		return raise_status(status, self, "block");
	}
	status = status == HD_OK ? HD_INTERRUPTED : HD_OK; // HD_BUSY: woken before it slept
	if (released && any_release(lock) < 0) {
		status = HD_SYSTEM;
		keep = false; // it was not held
	}
	while (status == HD_INTERRUPTED) {
		Py_BEGIN_ALLOW_THREADS status = hd_channel_wait(a, s, c, deadline);
		Py_END_ALLOW_THREADS
		if (status == HD_INTERRUPTED && check_signals(s) < 0)
			status = HD_SYSTEM;
	}
	if (hd_channel_unregister(a, s, c) && status == HD_TIMED_OUT)
		status = HD_OK;
	hd_wait_end(s);
	if (a->mode & HD_RECORD)
		hd_record(a, s, HD_EV_WOKEN, self->offset, site);
	if (keep && released && take_back((LockObject *)lock, kind) < 0)
		status = HD_SYSTEM;
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

static PyObject *channel_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
	return lock_new(type, args, kwds, sizeof(struct hd_channel));
}

#define M(name, function, flags, doc) {name, (PyCFunction)(void (*)(void))function, flags, doc}
static PyMethodDef channel_methods[] = {
	M("intend", channel_intend, METH_NOARGS, DOC_intend), M("block", channel_block, METH_VARARGS | METH_KEYWORDS, DOC_block),
	M("wakeup", channel_wakeup, METH_NOARGS, DOC_wakeup), M("wakeup_one", channel_wakeup_one, METH_NOARGS, DOC_wakeup_one),
	M("format", channel_format, METH_VARARGS | METH_STATIC, DOC_format), {NULL, NULL, 0, NULL},
};

static PyType_Slot channel_slots[] = {
	{Py_tp_doc, (void *)DOC_channel}, {Py_tp_new, channel_new}, {Py_tp_dealloc, lock_dealloc}, {Py_tp_methods, channel_methods},
	{Py_tp_getset, lock_getset}, {0, NULL},
};

PyType_Spec channel_spec = {
	"harness._native.Channel", sizeof(LockObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, channel_slots,
};
