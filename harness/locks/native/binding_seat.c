// This thread's seat seen from Python: operations, claims, named points.

#include "binding.h"

#include <string.h>
#include <unistd.h>

// The usual caller passes the same constant strings again and again.
#define NAME_CACHE 256
static struct {
	PyObject *text;
	uint64_t boot_id;
	uint32_t id;
} names[NAME_CACHE];

uint32_t name_of(struct hd_arena *a, PyObject *text)
{
	size_t slot = ((uintptr_t)text >> 4) % NAME_CACHE;
	if (names[slot].text == text && names[slot].boot_id == a->boot_id)
		return names[slot].id;
	const char *utf8 = PyUnicode_AsUTF8(text);
	if (!utf8)
		return 0;
	uint32_t id = hd_intern_name(a, utf8);
	Py_INCREF(text);
	Py_XDECREF(names[slot].text);
	names[slot].text = text;
	names[slot].boot_id = a->boot_id;
	names[slot].id = id;
	return id;
}

struct hd_seat *seat_of(struct hd_arena *a)
{
	struct hd_seat *s = hd_me(a);
	if (s)
		return s;
	char role[32];
	snprintf(role, sizeof role, "thread %d", (int)gettid());
	s = hd_sit(a, role);
	if (!s) {
		PyObject *class = hd_error_class("TableFull");
		PyObject *error = class ? PyObject_CallFunction(class, "sIs", "seats", a->seat_count, "--seats") : NULL;
		if (error)
			PyErr_SetObject(class, error);
		Py_XDECREF(error);
	}
	return s;
}

PyObject *site_tuple(struct hd_arena *a, uint32_t site)
{
	const struct hd_site *t = (struct hd_site *)hd_at(a, a->sites) + (site < HD_SITES ? site : 0);
	if (!site || t->state != 2)
		return Py_BuildValue("(sIs)", "?", 0, "?");
	return Py_BuildValue("(sIs)", t->file, t->line, t->function);
}

PyObject *arena_begin(ArenaObject *self, PyObject *const *args, Py_ssize_t count)
{
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	if (count < 1 || count > 2)
		return PyErr_Format(PyExc_TypeError, "begin(operation, argument=0)");
	uint32_t name = name_of(self->a, args[0]);
	if (PyErr_Occurred())
		return NULL;
	uint64_t argument = count > 1 ? PyLong_AsUnsignedLongLongMask(args[1]) : 0;
	s->operation = name;
	s->operation_argument = argument;
	s->operation_since = hd_now();
	if (self->a->mode & HD_RECORD)
		hd_record(self->a, s, HD_EV_BEGIN, argument, name);
	Py_RETURN_NONE;
}

static PyObject *nothing_held(ArenaObject *self, struct hd_seat *s, const char *when)
{
	struct hd_class *classes = hd_at(self->a, self->a->classes);
	for (uint32_t i = 0; i < s->depth; i++) {
		struct hd_held *h = &s->held[i];
		const struct hd_mutex *m = hd_at(self->a, h->lock); // all lock records begin alike
		const struct hd_site *t = (struct hd_site *)hd_at(self->a, self->a->sites) + h->site;
		char text[192];
		snprintf(text, sizeof text, "%s: this thread still holds %.39s[%u], taken at %.80s:%u", when,
			 classes[h->class_id].name, m->instance, t->file, t->line);
		hd_report(self->a, s, HD_REPORT_CONTRACT, h->lock, 0, h->site, 0, text);
		return raise_named("ContractViolation", "%s", text);
	}
	Py_RETURN_NONE;
}

PyObject *arena_end(ArenaObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	if (s->depth)
		return nothing_held(self, s, "operation ends");
	if (self->a->mode & HD_RECORD)
		hd_record(self->a, s, HD_EV_END, s->operation_argument, s->operation);
	s->operation = 0;
	atomic_store_explicit(&s->steps, s->steps + 1, memory_order_relaxed);
	Py_RETURN_NONE;
}

PyObject *arena_require_nothing_held(ArenaObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = seat_of(self->a);
	return s ? nothing_held(self, s, "no lock may be held here") : NULL;
}

PyObject *arena_claim(ArenaObject *self, PyObject *arg)
{
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	uint64_t address = PyLong_AsUnsignedLongLongMask(arg);
	if (hd_claim(s, address, current_site(self->a)) != HD_OK)
		return raise_named("HeldTooMany", "this thread has %d claims already; the one on %llu does not fit",
				   HD_MAX_CLAIMS, (unsigned long long)address);
	Py_RETURN_NONE;
}

PyObject *arena_changed(ArenaObject *self, PyObject *arg)
{
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	uint64_t address = PyLong_AsUnsignedLongLongMask(arg);
	uint32_t outer, site = current_sites(self->a, &outer);
	hd_changed(s, address, site, outer);
	Py_RETURN_NONE;
}

PyObject *arena_unclaim(ArenaObject *self, PyObject *arg)
{
	PyObject *done = arena_pass_on(self, arg);
	if (!done)
		return NULL;
	Py_DECREF(done);
	return arena_changed(self, arg);
}

PyObject *arena_pass_on(ArenaObject *self, PyObject *arg)
{
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	uint64_t address = PyLong_AsUnsignedLongLongMask(arg);
	if (hd_unclaim(s, address) != HD_OK)
		return raise_named("NotOwner", "this thread has no claim on the word at %llu", (unsigned long long)address);
	Py_RETURN_NONE;
}

PyObject *arena_point(ArenaObject *self, PyObject *const *args, Py_ssize_t count)
{
	if (!(self->a->mode & (HD_RECORD | HD_NOISE)))
		Py_RETURN_NONE;
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	if (count < 1 || count > 2)
		return PyErr_Format(PyExc_TypeError, "point(name, argument=0)");
	uint32_t name = name_of(self->a, args[0]);
	if (PyErr_Occurred())
		return NULL;
	if (self->a->mode & HD_RECORD)
		hd_record(self->a, s, HD_EV_POINT, count > 1 ? PyLong_AsUnsignedLongLongMask(args[1]) : 0, name);
	NOISE(self->a, s, HD_NOISE_POINT);
	Py_RETURN_NONE;
}

// A place that is passed so often that recording it would drive everything else out.
PyObject *arena_window(ArenaObject *self, PyObject *const *args, Py_ssize_t count)
{
	(void)args;
	if (count < 1 || count > 2)
		return PyErr_Format(PyExc_TypeError, "window(name, argument=0)");
	if (!(self->a->mode & HD_NOISE))
		Py_RETURN_NONE;
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	NOISE(self->a, s, HD_NOISE_POINT);
	Py_RETURN_NONE;
}

PyObject *arena_failure(ArenaObject *self, PyObject *unused)
{
	(void)unused;
	struct hd_seat *s = seat_of(self->a);
	if (!s)
		return NULL;
	atomic_store_explicit(&s->failures, s->failures + 1, memory_order_relaxed);
	Py_RETURN_NONE;
}
