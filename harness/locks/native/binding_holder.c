// Holders seen from Python, and what is said of one that died inside.

#include "binding.h"

#include <string.h>

static PyTypeObject *holder_type, *rw_holder_type;

#define COMMON                                                                                                         \
	{"seat", "number of its seat"}, {"pid", "process"}, {"tid", "thread"}, {"role", "role of its seat"},                 \
		{"site", "(file, line, function) where it took the lock"}, {"since", "coarse monotonic ns"}
#define BESIDE {"held_for", "seconds until now"}, {"alive", "False: it died inside"}

static PyStructSequence_Field holder_fields[] = {COMMON, BESIDE, {NULL, NULL}};
static PyStructSequence_Field rw_holder_fields[] = {COMMON, {"kind", "read or write"}, BESIDE, {NULL, NULL}};
static PyStructSequence_Desc holder_desc = {"harness._native.Holder", "Holder(values, /)\n--\n\nWho holds, or held, a lock: as Mutex.holder() saw it.", holder_fields, 6};
static PyStructSequence_Desc rw_holder_desc = {"harness._native.RwHolder", "RwHolder(values, /)\n--\n\nOne holder of a read/write lock: as RwLock.holders() saw it.", rw_holder_fields, 7};

int add_holder_types(PyObject *module)
{
	holder_type = PyStructSequence_NewType(&holder_desc);
	rw_holder_type = PyStructSequence_NewType(&rw_holder_desc);
	return holder_type && rw_holder_type && PyModule_AddType(module, holder_type) == 0 ? PyModule_AddType(module, rw_holder_type) : -1;
}

// Text of the arena: another program may have written it, and a long one is cut at a byte.
PyObject *text_of(const char *text, size_t room)
{
	return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strnlen(text, room), "replace");
}

static double seconds_since(uint64_t then)
{
	uint64_t now = hd_now();
	return then && now > then ? (double)(now - then) / 1e9 : 0.0;
}

PyObject *holder_tuple(struct hd_arena *a, const struct hd_holder *h, bool with_kind)
{
	PyObject *all = PyStructSequence_New(with_kind ? rw_holder_type : holder_type);
	if (!all)
		return NULL;
	PyObject *values[9] = {
		PyLong_FromUnsignedLong(h->seat), PyLong_FromUnsignedLong(h->pid), PyLong_FromUnsignedLong(h->tid),
		text_of(h->role, sizeof h->role), site_tuple(a, h->site), PyLong_FromUnsignedLongLong(h->since),
		PyUnicode_FromString(h->kind == HD_READ ? "read" : "write"), PyFloat_FromDouble(seconds_since(h->since)),
		PyBool_FromLong(h->alive),
	};
	Py_ssize_t at = 0;
	bool whole = true;
	for (int i = 0; i < 9; i++) {
		whole = whole && values[i];
		if (i == 6 && !with_kind)
			Py_XDECREF(values[i]);
		else
			PyStructSequence_SetItem(all, at++, values[i]);
	}
	if (!whole)
		Py_CLEAR(all);
	return all;
}

// "pid 4711 (teller), which took it 2.1 s ago at bank.py:40 (deposit)"
static PyObject *sentence_of(struct hd_arena *a, const struct hd_holder *who)
{
	char ago[32];
	snprintf(ago, sizeof ago, "%.1f s", seconds_since(who->since));
	PyObject *role = text_of(who->role, sizeof who->role), *site = site_tuple(a, who->site), *all = NULL;
	if (role && site)
		all = PyUnicode_FromFormat("pid %u (%U), which took it %s ago at %U:%S (%U)", who->pid, role, ago,
					   PyTuple_GET_ITEM(site, 0), PyTuple_GET_ITEM(site, 1), PyTuple_GET_ITEM(site, 2));
	Py_XDECREF(role);
	Py_XDECREF(site);
	return all;
}

static void raise_with(PyObject *text, LockObject *lock, PyObject *name, PyObject *holder)
{
	PyObject *class = hd_error_class("OwnerDied");
	PyObject *error = class && text ? PyObject_CallOneArg(class, text) : NULL;
	if (error && name && holder && PyObject_SetAttrString(error, "lock", (PyObject *)lock) == 0 &&
	    PyObject_SetAttrString(error, "lock_name", name) == 0 && PyObject_SetAttrString(error, "holder", holder) == 0)
		PyErr_SetObject(class, error);
	Py_XDECREF(error);
}

// Reports and raises OwnerDied.  `after` says what becomes of the lock.
void owner_died(LockObject *self, struct hd_seat *s, uint32_t site, const char *doing, const char *after)
{
	struct hd_arena *a = self->arena->a;
	const struct hd_holder *known = hd_dead_before(a, self->offset, sizeof(struct hd_rwlock));
	struct hd_holder who = known ? *known : (struct hd_holder){0};
	char name[64], told[416];
	lock_text(self, name, sizeof name);
	PyObject *lock = text_of(name, sizeof name), *text = NULL;
	PyObject *dead = known ? sentence_of(a, &who) : PyUnicode_FromString("a thread whose seat is in use again");
	PyObject *holder = known ? holder_tuple(a, &who, false) : Py_NewRef(Py_None);
	if (lock && dead && holder) {
		const char *utf8 = PyUnicode_AsUTF8(dead);
		snprintf(told, sizeof told, "takes %s, whose last holder died inside: %.300s", name, utf8 ? utf8 : "?");
		hd_report(a, s, HD_REPORT_OWNER_DIED, 0, self->offset, who.site, site, told);
		text = PyUnicode_FromFormat("%s %U: its last holder died inside: %U; %s", doing, lock, dead, after);
	}
	raise_with(text, self, lock, holder);
	Py_XDECREF(lock);
	Py_XDECREF(dead);
	Py_XDECREF(holder);
	Py_XDECREF(text);
}
