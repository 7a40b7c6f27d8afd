// Contract: a callable that checks lock state around a call.

#include "binding.h"

#include <stddef.h>
#include <string.h>
#include <structmember.h>

enum want { WANT_MUTEX = 1, WANT_READ = 2, WANT_WRITE = 3, WANT_RW = 4, WANT_FREE = 5 };

typedef struct {
	PyObject_HEAD
	vectorcallfunc vectorcall;
	PyObject *function, *enter, *exit, *dict;
	int sleeps, nothing;
	unsigned long long takes_mask;
} ContractObject;

// The lock meant by one argument: itself, what `path` leads to, or its .lock.
// New reference; NULL without an exception: the argument is None.
static PyObject *lock_of(PyObject *argument, PyObject *path)
{
	if (!argument || argument == Py_None)
		return NULL;
	PyObject *at = argument;
	Py_INCREF(at);
	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(path); i++) {
		if (PyObject_TypeCheck(at, mutex_type) || PyObject_TypeCheck(at, rwlock_type))
			return at;
		Py_SETREF(at, PyObject_GetAttr(at, PyTuple_GET_ITEM(path, i)));
		if (!at)
			return NULL;
		if (at == Py_None) {
			Py_DECREF(at);
			return NULL;
		}
	}
	if (!PyObject_TypeCheck(at, mutex_type) && !PyObject_TypeCheck(at, rwlock_type))
		Py_SETREF(at, PyObject_GetAttrString(at, "lock"));
	return at;
}

static bool satisfied(struct hd_seat *s, LockObject *lock, int want)
{
	struct hd_held *h = s && s->depth ? hd_find_held(s, lock->offset) : NULL;
	switch (want) {
	case WANT_FREE:
		return !h;
	case WANT_READ:
		return h && h->kind == HD_READ;
	case WANT_WRITE:
		return h && h->kind == HD_WRITE;
	case WANT_RW:
		return h && h->kind != HD_MUTEX;
	default:
		return h && h->kind != HD_READ;
	}
}

static int violated(ContractObject *self, struct hd_arena *a, struct hd_seat *s, uint64_t lock, const char *what, const char *name)
{
	PyObject *qualified = PyObject_GetAttrString(self->function, "__qualname__");
	const char *function = qualified ? PyUnicode_AsUTF8(qualified) : NULL;
	char text[192];
	snprintf(text, sizeof text, "%.80s: %s %s", function ? function : "?", what, name);
	Py_XDECREF(qualified);
	PyErr_Clear();
	uint32_t site = current_site(a);
	uint32_t since = 0;
	for (uint32_t i = 0; i < s->depth; i++)
		if (s->held[i].lock == lock)
			since = s->held[i].site;
	Py_BEGIN_ALLOW_THREADS hd_report(a, s, HD_REPORT_CONTRACT, lock, 0, since, site, text);
	Py_END_ALLOW_THREADS
	raise_named("ContractViolation", "%s", text);
	return -1;
}

static const char *complaint(int want, bool leaving)
{
	static const char *const at_entry[] = {"", "at entry it needs", "at entry it needs (read)",
					       "at entry it needs (write)", "at entry it needs (read or write)",
					       "at entry it must not hold"};
	static const char *const at_exit[] = {"", "at exit it must hold", "at exit it must hold (read)",
					      "at exit it must hold (write)", "at exit it must hold",
					      "at exit it must no longer hold"};
	return leaving ? at_exit[want] : at_entry[want];
}

// Checks every row; *arena and *seat are learned from the first lock met.
static int check(ContractObject *self, PyObject *rows, PyObject *const *args, Py_ssize_t count, PyObject *result,
		 struct hd_arena **arena, struct hd_seat **seat, bool leaving)
{
	for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(rows); i++) {
		PyObject *row = PyTuple_GET_ITEM(rows, i);
		long position = PyLong_AsLong(PyTuple_GET_ITEM(row, 0)), want = PyLong_AsLong(PyTuple_GET_ITEM(row, 2));
		PyObject *argument = position < 0 ? result : position < count ? args[position] : NULL;
		if (position == -2) // first element of a tuple
			argument = result && PyTuple_Check(result) && PyTuple_GET_SIZE(result) ? PyTuple_GET_ITEM(result, 0) : NULL;
		PyObject *lock = lock_of(argument, PyTuple_GET_ITEM(row, 1));
		if (!lock) {
			if (PyErr_Occurred())
				return -1;
			continue;
		}
		if (!PyObject_TypeCheck(lock, mutex_type) && !PyObject_TypeCheck(lock, rwlock_type)) {
			Py_DECREF(lock);
			PyErr_SetString(PyExc_TypeError, "a contract names something that is no lock");
			return -1;
		}
		LockObject *l = (LockObject *)lock;
		*arena = l->arena->a;
		if (!*seat && !(*seat = seat_of(*arena))) {
			Py_DECREF(lock);
			return -1;
		}
		bool good = satisfied(*seat, l, (int)want);
		char name[64];
		if (!good)
			lock_text(l, name, sizeof name);
		uint64_t offset = l->offset;
		Py_DECREF(lock);
		if (!good)
			return violated(self, *arena, *seat, offset, complaint((int)want, leaving), name);
	}
	return 0;
}

// The mutex that this thread took first; 0: it holds none.
static uint64_t first_mutex(struct hd_seat *s)
{
	for (uint32_t i = 0; i < s->depth; i++)
		if (s->held[i].kind == HD_MUTEX)
			return s->held[i].lock;
	return 0;
}

// The arena of a function without locks in its contract: any argument with .arena
// whose .native is ours (a Vm); without one there is nothing to check.
static struct hd_arena *arena_of(PyObject *const *args, Py_ssize_t count)
{
	static PyObject *arena_word, *native_word;
	if (!arena_word) {
		arena_word = PyUnicode_InternFromString("arena");
		native_word = PyUnicode_InternFromString("native");
	}
	if (count < 1 || !args[0])
		return NULL;
	PyObject *arena = PyObject_GetAttr(args[0], arena_word);
	PyObject *native = arena ? PyObject_GetAttr(arena, native_word) : NULL;
	struct hd_arena *a = native && PyObject_TypeCheck(native, arena_type) ? ((ArenaObject *)native)->a : NULL;
	Py_XDECREF(arena);
	Py_XDECREF(native);
	PyErr_Clear();
	return a;
}

static int check_conduct(ContractObject *self, struct hd_arena *a, struct hd_seat *s, uint32_t sleeps)
{
	if (!self->sleeps && s->sleeps != sleeps)
		return violated(self, a, s, 0, "it slept, and its contract says", "never");
	uint64_t extra = s->taken_mask & ~self->takes_mask;
	if (!extra)
		return 0;
	struct hd_class *c = (struct hd_class *)hd_at(a, a->classes) + __builtin_ctzll(extra);
	return violated(self, a, s, 0, "it took a lock that its contract does not name:", c->name);
}

#define MAX_PARAMETERS 24

// Arguments by position, those given by name put in their places.  Returns how many
// places there are, or -1 with an exception.
static Py_ssize_t by_position(ContractObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names, PyObject **out)
{
	PyObject *code = PyObject_GetAttrString(self->function, "__code__");
	PyObject *parameters = code ? PyObject_GetAttrString(code, "co_varnames") : NULL;
	Py_XDECREF(code);
	if (!parameters)
		return -1;
	memset(out, 0, MAX_PARAMETERS * sizeof *out);
	for (Py_ssize_t i = 0; i < count && i < MAX_PARAMETERS; i++)
		out[i] = args[i];
	for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(names); k++) {
		Py_ssize_t at = PySequence_Index(parameters, PyTuple_GET_ITEM(names, k));
		if (at < 0)
			PyErr_Clear(); // the function itself will say that it has no such parameter
		else if (at < MAX_PARAMETERS)
			out[at] = args[count + k];
	}
	Py_DECREF(parameters);
	return MAX_PARAMETERS;
}

static PyObject *call_checked(ContractObject *self, PyObject *const *given, size_t flags, PyObject *names)
{
	PyObject *places[MAX_PARAMETERS];
	PyObject *const *args = given;
	Py_ssize_t count = PyVectorcall_NARGS(flags);
	if (names && PyTuple_GET_SIZE(names)) {
		count = by_position(self, given, count, names, places);
		if (count < 0)
			return NULL;
		args = places;
	}
	struct hd_arena *a = arena_of(args, count);
	struct hd_seat *s = a ? seat_of(a) : NULL;
	if (a && !s)
		return NULL;
	if (check(self, self->enter, args, count, NULL, &a, &s, false) < 0)
		return NULL;
	if (!s)
		return PyObject_Vectorcall(self->function, given, flags, names);
	if (self->nothing && first_mutex(s)) {
		violated(self, a, s, first_mutex(s), "at entry no mutex may be held, and there is", "one");
		return NULL;
	}
	uint32_t sleeps = s->sleeps;
	uint64_t taken = s->taken_mask;
	s->taken_mask = 0;
	PyObject *result = PyObject_Vectorcall(self->function, given, flags, names);
	if (result && check_conduct(self, a, s, sleeps) < 0)
		Py_CLEAR(result);
	s->taken_mask |= taken;
	if (result && check(self, self->exit, args, count, result, &a, &s, true) < 0)
		Py_CLEAR(result);
	return result;
}

static int contract_init(ContractObject *self, PyObject *args, PyObject *kwds)
{
	static char *words[] = {"function", "enter", "exit", "sleeps", "takes_mask", "nothing", NULL};
	PyObject *function, *enter, *exit;
	self->takes_mask = ~0ull;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "OO!O!pK|p:Contract", words, &function, &PyTuple_Type, &enter,
					 &PyTuple_Type, &exit, &self->sleeps, &self->takes_mask, &self->nothing))
		return -1;
	PyObject *both[2] = {enter, exit};
	for (int k = 0; k < 2; k++)
		for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(both[k]); i++) {
			PyObject *row = PyTuple_GET_ITEM(both[k], i);
			if (!PyTuple_Check(row) || PyTuple_GET_SIZE(row) != 3 || !PyLong_Check(PyTuple_GET_ITEM(row, 0)) ||
			    !PyTuple_Check(PyTuple_GET_ITEM(row, 1)) || !PyLong_Check(PyTuple_GET_ITEM(row, 2)) ||
			    PyLong_AsLong(PyTuple_GET_ITEM(row, 2)) < 1 || PyLong_AsLong(PyTuple_GET_ITEM(row, 2)) > 5) {
				PyErr_Format(PyExc_TypeError, "contract row %R is not (position, path, mode 1-5)", row);
				return -1;
			}
		}
	Py_INCREF(function);
	Py_XSETREF(self->function, function);
	Py_INCREF(enter);
	Py_XSETREF(self->enter, enter);
	Py_INCREF(exit);
	Py_XSETREF(self->exit, exit);
	self->vectorcall = (vectorcallfunc)call_checked;
	return 0;
}

static int contract_traverse(ContractObject *self, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(self));
	Py_VISIT(self->function);
	Py_VISIT(self->enter);
	Py_VISIT(self->exit);
	Py_VISIT(self->dict);
	return 0;
}

static int contract_clear(ContractObject *self)
{
	Py_CLEAR(self->function);
	Py_CLEAR(self->enter);
	Py_CLEAR(self->exit);
	Py_CLEAR(self->dict);
	return 0;
}

static void contract_dealloc(ContractObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	PyObject_GC_UnTrack(self);
	contract_clear(self);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyMemberDef contract_members[] = {
	{"__wrapped__", T_OBJECT_EX, offsetof(ContractObject, function), READONLY, NULL},
	{"takes_mask", T_ULONGLONG, offsetof(ContractObject, takes_mask), 0, NULL},
	{"__vectorcalloffset__", T_PYSSIZET, offsetof(ContractObject, vectorcall), READONLY, NULL},
	{"__dictoffset__", T_PYSSIZET, offsetof(ContractObject, dict), READONLY, NULL},
	{NULL, 0, 0, 0, NULL},
};

static PyGetSetDef contract_getset[] = {
	{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot contract_slots[] = {
	{Py_tp_init, contract_init}, {Py_tp_dealloc, contract_dealloc}, {Py_tp_traverse, contract_traverse},
	{Py_tp_clear, contract_clear}, {Py_tp_call, PyVectorcall_Call}, {Py_tp_members, contract_members},
	{Py_tp_getset, contract_getset}, {Py_tp_new, PyType_GenericNew}, {0, NULL},
};

PyType_Spec contract_spec = {
	"harness._native.Contract", sizeof(ContractObject), 0,
	Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, contract_slots,
};
