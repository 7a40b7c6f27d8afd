// The sides of a read/write lock as objects, and the arguments of every acquire().
//
// `rw.read` and `rw.write` make such an object each time; it has no state of its own, so any two
// are alike.  It can be called, as the verb of the same name, and it is a lock as threading has them.

#include "binding.h"
#include "docs_locks.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

typedef struct {
	PyObject_HEAD
	vectorcallfunc vectorcall;
	LockObject *lock;
	uint8_t kind; // HD_READ or HD_WRITE
} SideObject;

// Seconds from now -> absolute ns.  NULL, None and -1 -> 0, "without limit".
int parse_timeout(PyObject *timeout, uint64_t *deadline)
{
	*deadline = 0;
	if (!timeout || timeout == Py_None)
		return 0;
	double seconds = PyBool_Check(timeout) ? -1.0 : PyFloat_AsDouble(timeout);
	if (PyBool_Check(timeout) || (seconds == -1.0 && PyErr_Occurred())) {
		PyErr_Format(PyExc_TypeError, "timeout=%R: it must be a number of seconds (None or -1: without limit)", timeout);
		return -1;
	}
	if (seconds == -1.0)
		return 0;
	if (!(seconds >= 0) || seconds > 1e9) {
		PyErr_Format(PyExc_ValueError, "timeout=%R: it must be between 0 and 1e9 seconds (None or -1: without limit)", timeout);
		return -1;
	}
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	*deadline = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec + (uint64_t)(seconds * 1e9) + 1;
	return 0;
}

// Arguments by place and by name into given[], as `call` declares them; -1: exception set.
int parse_words(const char *call, const char *const *words, Py_ssize_t most, PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject **given)
{
	Py_ssize_t more = names ? PyTuple_GET_SIZE(names) : 0;
	if (count > most) {
		PyErr_Format(PyExc_TypeError, "%s takes at most %zd arguments, not %zd", call, most, count + more);
		return -1;
	}
	for (Py_ssize_t i = 0; i < most; i++)
		given[i] = i < count ? args[i] : NULL;
	for (Py_ssize_t i = 0; i < more; i++) {
		PyObject *name = PyTuple_GET_ITEM(names, i);
		Py_ssize_t at = 0;
		// The first letters differ, and telling them apart is cheaper than the comparison.
		while (at < most && (PyUnicode_READ_CHAR(name, 0) != (Py_UCS4)words[at][0] || PyUnicode_CompareWithASCIIString(name, words[at])))
			at++;
		if (at == most || given[at]) {
			PyErr_Format(PyExc_TypeError, "%s: %U= %s", call, name, at == most ? "is no argument of it" : "is given twice");
			return -1;
		}
		given[at] = args[count + i];
	}
	return 0;
}

// acquire(blocking=True, timeout=-1), as threading has it.  A number in place of `blocking` is
// refused: a caller that means seconds would wait for ever.
int parse_acquire(PyObject *const *args, Py_ssize_t count, PyObject *names, bool *blocking, uint64_t *deadline)
{
	static const char *const words[] = {"blocking", "timeout"};
	PyObject *given[2];
	*blocking = true;
	*deadline = 0;
	if (!count && !names)
		return 0;
	if (parse_words("acquire(blocking=True, timeout=-1)", words, 2, args, count, names, given) < 0)
		return -1;
	if (given[0] && !PyBool_Check(given[0])) {
		PyErr_Format(PyExc_TypeError, "blocking=%R: it must be True or False; seconds are given as timeout=", given[0]);
		return -1;
	}
	if (parse_timeout(given[1], deadline) < 0)
		return -1;
	*blocking = given[0] != Py_False;
	if (!*blocking && *deadline) {
		PyErr_Format(PyExc_ValueError, "timeout=%R: with blocking=False there is no wait", given[1]);
		return -1;
	}
	return 0;
}

// `lock.read()` makes a side and drops it: those that were dropped last are used again.  Guarded by the GIL.
#define KEPT 8
static SideObject *spare[KEPT];
static int spares;

PyObject *make_side(LockObject *lock, void *kind)
{
	SideObject *self;
	if (spares) {
		self = spare[--spares];
		_Py_NewReference((PyObject *)self);
	} else if (!(self = PyObject_New(SideObject, side_type))) {
		return NULL;
	}
	self->vectorcall = (vectorcallfunc)side_call;
	Py_INCREF(lock);
	self->lock = lock;
	self->kind = (uint8_t)(uintptr_t)kind;
	return (PyObject *)self;
}

PyObject *side_call(PyObject *side, PyObject *const *args, size_t flags, PyObject *names)
{
	SideObject *self = (SideObject *)side;
	return rw_verb(self->lock, self->kind, args, PyVectorcall_NARGS(flags), names);
}

static PyObject *side_acquire(SideObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
	return rw_py_acquire(self->lock, self->kind, args, count, names);
}

static PyObject *side_release(SideObject *self, PyObject *unused)
{
	return rw_release(self->lock, unused);
}

static PyObject *side_locked(SideObject *self, PyObject *unused)
{
	(void)unused;
	return PyBool_FromLong(rw_is_held(self->lock, self->kind));
}

static PyObject *side_enter(SideObject *self, PyObject *unused)
{
	(void)unused;
	return rw_enter_as(self->lock, self->kind);
}

static PyObject *side_exit(SideObject *self, PyObject *const *args, Py_ssize_t count)
{
	return rw_exit(self->lock, args, count);
}

static const char *side_name(SideObject *self)
{
	return self->kind == HD_READ ? "read" : "write";
}

static PyObject *side_reduce(SideObject *self, PyObject *unused)
{
	(void)unused;
	PyObject *builtins = PyImport_ImportModule("builtins"), *getter = builtins ? PyObject_GetAttrString(builtins, "getattr") : NULL;
	Py_XDECREF(builtins);
	return getter ? Py_BuildValue("(N(Os))", getter, self->lock, side_name(self)) : NULL;
}

static PyObject *side_repr(SideObject *self)
{
	char name[64];
	lock_text(self->lock, name, sizeof name);
	return PyUnicode_FromFormat("<%s side of %s>", side_name(self), name);
}

static PyObject *side_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
	(void)type;
	static char *words[] = {"lock", "kind", NULL};
	LockObject *lock;
	const char *kind;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "O!s:Side", words, rwlock_type, &lock, &kind))
		return NULL;
	if (strcmp(kind, "read") && strcmp(kind, "write"))
		return PyErr_Format(PyExc_ValueError, "kind='%s': it must be 'read' or 'write'", kind);
	return make_side(lock, (void *)(uintptr_t)(*kind == 'r' ? HD_READ : HD_WRITE));
}

static void side_dealloc(SideObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	Py_CLEAR(self->lock); // may run other Python code, which uses the list
	if (spares < KEPT) {
		spare[spares++] = self; // with its reference to the type
		return;
	}
	type->tp_free(self);
	Py_DECREF(type);
}

#define M(name, function, flags, doc) {name, (PyCFunction)(void (*)(void))function, flags, doc}
static PyMethodDef side_methods[] = {
	M("acquire", side_acquire, METH_FASTCALL | METH_KEYWORDS, DOC_side_acquire),
	M("release", side_release, METH_NOARGS, DOC_side_release),
	M("locked", side_locked, METH_NOARGS, DOC_side_locked),
	M("__enter__", side_enter, METH_NOARGS, DOC_side_enter),
	M("__exit__", side_exit, METH_FASTCALL, DOC_side_exit),
	M("__reduce__", side_reduce, METH_NOARGS, DOC_side_reduce),
	{NULL, NULL, 0, NULL},
};

static PyMemberDef side_members[] = {
	{"__vectorcalloffset__", T_PYSSIZET, offsetof(SideObject, vectorcall), READONLY, NULL},
	{"lock", T_OBJECT_EX, offsetof(SideObject, lock), READONLY, "the read/write lock"},
	{NULL, 0, 0, 0, NULL},
};

static PyType_Slot side_slots[] = {
	{Py_tp_doc, (void *)DOC_side}, {Py_tp_new, side_new}, {Py_tp_dealloc, side_dealloc}, {Py_tp_call, PyVectorcall_Call},
	{Py_tp_repr, side_repr}, {Py_tp_methods, side_methods}, {Py_tp_members, side_members}, {0, NULL},
};

PyType_Spec side_spec = {
	"harness._native.Side", sizeof(SideObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL, side_slots,
};
