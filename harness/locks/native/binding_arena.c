// The Arena type: the segment seen from Python, and this thread's seat in it.

#include "binding.h"
#include "docs_arena.h"

#include <string.h>

// Made and filled in one step: no method meets an object without a segment.
static PyObject *arena_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
	static char *words[] = {"mapping", NULL};
	PyObject *mapping;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "O:Arena", words, &mapping))
		return NULL;
	ArenaObject *self = (ArenaObject *)type->tp_alloc(type, 0);
	if (!self || PyObject_GetBuffer(mapping, &self->view, PyBUF_WRITABLE) < 0) {
		Py_XDECREF(self);
		return NULL;
	}
	struct hd_arena *a = self->view.buf;
	if (self->view.len >= HD_OWN_PAGE && !hd_own_page(a)) { // before the check: what is checked is what is used
		PyBuffer_Release(&self->view);
		Py_DECREF(self);
		return PyErr_SetFromErrno(PyExc_OSError);
	}
	if (hd_check(a, (uint64_t)self->view.len) != HD_OK) {
		PyBuffer_Release(&self->view);
		Py_DECREF(self);
		PyErr_SetString(PyExc_ValueError, "the buffer does not begin with an arena of this build");
		return NULL;
	}
	self->a = a;
	return (PyObject *)self;
}

static void arena_dealloc(ArenaObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	if (self->a) {
		// While a thread of ours sits there the kernel's robust list points into the mapping.
		// Then the buffer is kept for the life of the process, the interpreter's end included.
		hd_leave_seat(self->a); // of this thread, when it holds nothing
		if (!hd_seated(self->a))
			PyBuffer_Release(&self->view);
	}
	type->tp_free(self);
	Py_DECREF(type);
}

static PyObject *arena_allocate(ArenaObject *self, PyObject *args)
{
	unsigned long long bytes, align = 64;
	if (!PyArg_ParseTuple(args, "K|K:allocate", &bytes, &align))
		return NULL;
	if (!align || (align & (align - 1)))
		return PyErr_Format(PyExc_ValueError, "alignment %llu is no power of two", align);
	return PyLong_FromUnsignedLongLong(hd_allocate(self->a, bytes, align));
}

static PyObject *arena_declare_class(ArenaObject *self, PyObject *args, PyObject *kwds)
{
	static char *words[] = {"name", "rank", "flags", NULL};
	const char *name;
	unsigned int rank = 0, flags = 0;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "s|II:declare_class", words, &name, &rank, &flags))
		return NULL;
	int id = hd_declare_class(self->a, name, rank, flags);
	if (id < 0)
		return raise_named("LockError", "lock class '%s' is one too many: %d is the limit", name, HD_MAX_CLASSES - 1);
	return PyLong_FromLong(id);
}

static PyObject *arena_set_chain(ArenaObject *self, PyObject *args)
{
	unsigned int id;
	long long delta;
	unsigned long long table, stride, lock;
	if (!PyArg_ParseTuple(args, "ILKKK:set_chain", &id, &delta, &table, &stride, &lock))
		return NULL;
	if (id >= HD_MAX_CLASSES)
		return PyErr_Format(PyExc_ValueError, "no lock class %u", id);
	struct hd_class *c = (struct hd_class *)hd_at(self->a, self->a->classes) + id;
	c->chain_delta = delta;
	c->chain_table = table;
	c->chain_lock = lock;
	c->chain_stride = stride;
	Py_RETURN_NONE;
}

static PyObject *arena_sit(ArenaObject *self, PyObject *arg)
{
	const char *role = PyUnicode_AsUTF8(arg);
	if (!role || !may_sit(self->a))
		return NULL;
	struct hd_seat *s = hd_sit(self->a, role);
	if (!s && !(s = seat_of(self->a)))
		return NULL;
	return PyLong_FromUnsignedLong(s->number);
}

static PyObject *arena_seat(ArenaObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = hd_me(self->a);
	return PyLong_FromUnsignedLong(s ? s->number : 0);
}

static PyObject *arena_leave(ArenaObject *self, PyObject *unused)
{
	(void)unused;
	if (!hd_leave_seat(self->a))
		return raise_named("LockError", "the thread still holds locks: it cannot leave its seat");
	Py_RETURN_NONE;
}

static PyObject *arena_report(ArenaObject *self, PyObject *args)
{
	int kind, mistake = 0, here = 1;
	const char *text, *details = NULL;
	Py_ssize_t size = 0;
	unsigned long long a = 0, b = 0;
	if (!PyArg_ParseTuple(args, "is|KKiy#p:report", &kind, &text, &a, &b, &mistake, &details, &size, &here))
		return NULL;
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	struct hd_told told = {.mistake = (enum hd_mistake)mistake, .details = details, .size = (size_t)size};
	hd_report_told(self->a, s, (enum hd_report_kind)kind, a, b, 0, here ? current_site(self->a) : 0, text, &told);
	Py_RETURN_NONE;
}

static PyObject *arena_io_begin(ArenaObject *self, PyObject *arg)
{
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	uint32_t name = name_of(self->a, arg), site = current_site(self->a);
	if (PyErr_Occurred())
		return NULL;
	hd_check_sleep(self->a, s, 0, site); // reported, not raised: the I/O itself is harmless
	s->sleeps++;
	hd_wait_begin(s, HD_IO, 0, site, 0);
	s->wait_message = name;
	Py_RETURN_NONE;
}

static PyObject *arena_io_end(ArenaObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	hd_wait_end(s);
	Py_RETURN_NONE;
}

static PyObject *arena_set_activity(ArenaObject *self, PyObject *args)
{
	unsigned int code;
	unsigned long long target = 0;
	if (!PyArg_ParseTuple(args, "I|K:set_activity", &code, &target))
		return NULL;
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	if (code == HD_RUNNING)
		hd_wait_end(s);
	else
		hd_wait_begin(s, (enum hd_activity)code, target, current_site(self->a), 0);
	Py_RETURN_NONE;
}

static PyObject *held_by(struct hd_arena *a, struct hd_seat *s)
{
	PyObject *all = PyList_New(0);
	for (uint32_t i = 0; all && i < s->depth && i < HD_MAX_HELD; i++) {
		struct hd_hold h;
		if (!hd_holds(a, s, i, &h))
			continue;
		PyObject *row = Py_BuildValue("(KIIIKI)", (unsigned long long)h.lock, h.kind, h.class_id, h.site, (unsigned long long)h.since, h.owner_died);
		if (!row || PyList_Append(all, row) < 0)
			Py_CLEAR(all);
		Py_XDECREF(row);
	}
	return all;
}

static PyObject *arena_held(ArenaObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = seat_of(self->a);
	return s ? held_by(self->a, s) : NULL;
}

static PyObject *arena_depth(ArenaObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = seat_of(self->a);
	uint32_t count = 0;
	struct hd_hold h;
	for (uint32_t i = 0; s && i < s->depth && i < HD_MAX_HELD; i++)
		count += hd_holds(self->a, s, i, &h);
	return s ? PyLong_FromUnsignedLong(count) : NULL;
}

static PyObject *arena_set_noise(ArenaObject *self, PyObject *args)
{
	unsigned int c[HD_NOISE_PLACES], sleep_ns, turn = 0;
	unsigned long long seed;
	if (!PyArg_ParseTuple(args, "(IIIII)IK|I:set_noise", &c[0], &c[1], &c[2], &c[3], &c[4], &sleep_ns, &seed, &turn))
		return NULL;
	if (turn > 1u << 20)
		return PyErr_Format(PyExc_ValueError, "turn %u is more than %u", turn, 1u << 20);
	for (int i = 0; i < HD_NOISE_PLACES; i++)
		self->a->noise_chance[i] = c[i];
	self->a->noise_sleep_ns = sleep_ns;
	self->a->noise_seed = seed;
	self->a->noise_turn = turn;
	struct hd_seat *seats = hd_at(self->a, self->a->seats);
	for (uint32_t i = 0; i < self->a->seat_count; i++) {
		seats[i].random = (seed + 1) * 0x9e3779b97f4a7c15ull ^ (uint64_t)(i + 1) << 32;
		seats[i].noise_left = seats[i].noise_speed = 0;
	}
	Py_RETURN_NONE;
}

static PyObject *arena_name(ArenaObject *self, PyObject *arg)
{
	unsigned long id = PyLong_AsUnsignedLong(arg);
	if (PyErr_Occurred())
		return NULL;
	const struct hd_name *t = (struct hd_name *)hd_at(self->a, self->a->names) + (id < HD_NAMES ? id : 0);
	return id && t->state == 2 ? text_of(t->text, sizeof t->text) : PyUnicode_FromString("");
}

static PyObject *arena_site(ArenaObject *self, PyObject *arg)
{
	unsigned long id = PyLong_AsUnsignedLong(arg);
	return PyErr_Occurred() ? NULL : site_tuple(self->a, (uint32_t)id);
}

static PyObject *arena_set_stack_fd(ArenaObject *self, PyObject *arg)
{
	long fd = PyLong_AsLong(arg);
	struct hd_seat *s = PyErr_Occurred() ? NULL : seat_of(self->a);
	if (!s)
		return NULL;
	s->stack_fd = (int32_t)fd;
	Py_RETURN_NONE;
}

static struct hd_seat *numbered(ArenaObject *self, PyObject *arg)
{
	unsigned long n = PyLong_AsUnsignedLong(arg);
	if (PyErr_Occurred())
		return NULL;
	if (n < 1 || n > self->a->seat_count) {
		PyErr_Format(PyExc_IndexError, "seat %lu of %u", n, self->a->seat_count);
		return NULL;
	}
	return (struct hd_seat *)hd_at(self->a, self->a->seats) + (n - 1);
}

static PyObject *arena_offset_of_seat(ArenaObject *self, PyObject *arg)
{
	struct hd_seat *s = numbered(self, arg);
	return s ? PyLong_FromUnsignedLongLong(hd_offset(self->a, s)) : NULL;
}

static PyObject *arena_held_by(ArenaObject *self, PyObject *arg)
{
	struct hd_seat *s = numbered(self, arg);
	return s ? held_by(self->a, s) : NULL;
}

static PyObject *arena_seat_dead(ArenaObject *self, PyObject *arg)
{
	struct hd_seat *s = numbered(self, arg);
	return s ? PyBool_FromLong(hd_seat_dead(s)) : NULL;
}

static PyObject *arena_now(ArenaObject *self, PyObject *unused)
{
	(void)self;
	(void)unused;
	return PyLong_FromUnsignedLongLong(hd_now());
}

static PyObject *arena_exact_now(ArenaObject *self, PyObject *unused)
{
	(void)self;
	(void)unused;
	return PyLong_FromUnsignedLongLong(hd_precise_now());
}

static PyObject *arena_view(ArenaObject *self, PyObject *args)
{
	unsigned long long offset, length;
	if (!PyArg_ParseTuple(args, "KK:view", &offset, &length))
		return NULL;
	if (offset > self->a->size || length > self->a->size - offset)
		return PyErr_Format(PyExc_IndexError, "%llu bytes at %llu of %llu", length, offset,
				    (unsigned long long)self->a->size);
	PyObject *whole = PyMemoryView_FromObject(self->view.obj);
	PyObject *part = whole ? PySequence_GetSlice(whole, (Py_ssize_t)offset, (Py_ssize_t)(offset + length)) : NULL;
	Py_XDECREF(whole);
	return part;
}

static PyObject *arena_get_mode(ArenaObject *self, void *unused)
{
	(void)unused;
	return PyLong_FromUnsignedLong(self->a->mode);
}

static int arena_set_mode(ArenaObject *self, PyObject *value, void *unused)
{
	(void)unused;
	unsigned long mode = value ? PyLong_AsUnsignedLong(value) : 0;
	if (!value || PyErr_Occurred())
		return -1;
	atomic_store(&self->a->mode, (uint32_t)mode);
	return 0;
}

#define M(name, flags) {#name, (PyCFunction)(void (*)(void))arena_##name, flags, DOC_##name}
static PyMethodDef methods[] = {
	M(allocate, METH_VARARGS), M(declare_class, METH_VARARGS | METH_KEYWORDS), M(set_chain, METH_VARARGS),
	M(sit, METH_O), M(seat, METH_NOARGS), M(leave, METH_NOARGS), M(begin, METH_FASTCALL), M(end, METH_NOARGS),
	M(require_nothing_held, METH_NOARGS), M(claim, METH_O), M(unclaim, METH_O), M(pass_on, METH_O),
	M(changed, METH_O), M(point, METH_FASTCALL), M(window, METH_FASTCALL),
	M(failure, METH_NOARGS), M(report, METH_VARARGS), M(io_begin, METH_O), M(io_end, METH_NOARGS),
	M(set_activity, METH_VARARGS), M(held, METH_NOARGS), M(held_by, METH_O), M(depth, METH_NOARGS), M(set_noise, METH_VARARGS),
	M(name, METH_O), M(site, METH_O), M(set_stack_fd, METH_O), M(offset_of_seat, METH_O), M(seat_dead, METH_O),
	M(now, METH_NOARGS), M(exact_now, METH_NOARGS), M(view, METH_VARARGS), {NULL, NULL, 0, NULL},
};

static PyGetSetDef getset[] = {
	{"mode", (getter)arena_get_mode, (setter)arena_set_mode, "What is switched on for all threads: CONSTANTS RECORD, NOISE, WAIT_FOR_WATCHER, NO_SITES, STRICT, or-ed.", NULL},
	{NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {
	{Py_tp_doc, (void *)DOC_arena}, {Py_tp_new, arena_new}, {Py_tp_dealloc, arena_dealloc}, {Py_tp_methods, methods}, {Py_tp_getset, getset}, {0, NULL},
};

PyType_Spec arena_spec = {
	"harness._native.Arena", sizeof(ArenaObject), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots,
};
