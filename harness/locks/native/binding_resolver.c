// Resolver: a link (generation << 32 | slot) to the cached view of its record.

#include "binding.h"

#include <stddef.h>
#include <structmember.h>

typedef struct {
	PyObject_HEAD
	vectorcallfunc vectorcall;
	ArenaObject *arena;
	PyObject *views, *name;
	uint64_t base, stride, generation_offset;
} ResolverObject;

static PyObject *resolve(ResolverObject *self, PyObject *const *args, size_t flags, PyObject *names)
{
	if (PyVectorcall_NARGS(flags) != 1 || (names && PyTuple_GET_SIZE(names)))
		return PyErr_Format(PyExc_TypeError, "a resolver takes one reference");
	uint64_t ref = PyLong_AsUnsignedLongLong(args[0]);
	if (ref == UINT64_MAX && PyErr_Occurred())
		return NULL;
	uint32_t slot = (uint32_t)ref, held = (uint32_t)(ref >> 32);
	if (!slot || (Py_ssize_t)slot >= PyList_GET_SIZE(self->views))
		return raise_named("RecordError", "reference %llu names no record of %U[%zd]", (unsigned long long)ref,
				   self->name, PyList_GET_SIZE(self->views));
	const _Atomic uint32_t *generation = hd_at(self->arena->a, self->base + slot * self->stride + self->generation_offset);
	uint32_t current = atomic_load_explicit(generation, memory_order_relaxed);
	if (current != held) {
		PyObject *class = hd_error_class("StaleReference");
		PyObject *error = class ? PyObject_CallFunction(class, "OIII", self->name, slot, held, current) : NULL;
		if (error)
			PyErr_SetObject(class, error);
		Py_XDECREF(error);
		return NULL;
	}
	PyObject *view = PyList_GET_ITEM(self->views, slot);
	Py_INCREF(view);
	return view;
}

static int resolver_init(ResolverObject *self, PyObject *args, PyObject *kwds)
{
	static char *words[] = {"arena", "base", "stride", "generation_offset", "views", "name", NULL};
	ArenaObject *arena;
	unsigned long long base, stride, generation;
	PyObject *views, *name;
	if (!PyArg_ParseTupleAndKeywords(args, kwds, "O!KKKO!U:Resolver", words, arena_type, &arena, &base, &stride,
					 &generation, &PyList_Type, &views, &name))
		return -1;
	if (base + stride * (unsigned long long)PyList_GET_SIZE(views) > arena->a->size || generation % 4) {
		PyErr_SetString(PyExc_ValueError, "the table does not lie inside the arena");
		return -1;
	}
	Py_INCREF(arena);
	Py_XSETREF(self->arena, arena);
	Py_INCREF(views);
	Py_XSETREF(self->views, views);
	Py_INCREF(name);
	Py_XSETREF(self->name, name);
	self->base = base;
	self->stride = stride;
	self->generation_offset = generation;
	self->vectorcall = (vectorcallfunc)resolve;
	return 0;
}

static int resolver_traverse(ResolverObject *self, visitproc visit, void *arg)
{
	Py_VISIT(Py_TYPE(self));
	Py_VISIT(self->views);
	return 0;
}

static int resolver_clear(ResolverObject *self)
{
	Py_CLEAR(self->views);
	return 0;
}

static void resolver_dealloc(ResolverObject *self)
{
	PyTypeObject *type = Py_TYPE(self);
	PyObject_GC_UnTrack(self);
	Py_CLEAR(self->arena);
	Py_CLEAR(self->views);
	Py_CLEAR(self->name);
	type->tp_free(self);
	Py_DECREF(type);
}

static PyMemberDef resolver_members[] = {
	{"__vectorcalloffset__", T_PYSSIZET, offsetof(ResolverObject, vectorcall), READONLY, NULL},
	{"views", T_OBJECT_EX, offsetof(ResolverObject, views), READONLY, NULL},
	{NULL, 0, 0, 0, NULL},
};

static PyType_Slot resolver_slots[] = {
	{Py_tp_init, resolver_init}, {Py_tp_dealloc, resolver_dealloc}, {Py_tp_traverse, resolver_traverse},
	{Py_tp_clear, resolver_clear}, {Py_tp_call, PyVectorcall_Call}, {Py_tp_members, resolver_members},
	{Py_tp_new, PyType_GenericNew}, {0, NULL},
};

PyType_Spec resolver_spec = {
	"harness._native.Resolver", sizeof(ResolverObject), 0,
	Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_BASETYPE, resolver_slots,
};
