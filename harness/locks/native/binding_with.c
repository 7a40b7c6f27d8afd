// What `with` calls: bound methods that are used again.
//
// `with lock:` asks the type for __enter__ and __exit__.  An ordinary method descriptor answers each
// time with a new object that the garbage collector must track; the two cost as much as the lock
// itself (3.11 to 3.13; a later interpreter that calls the descriptor never asks for one).  Here the
// descriptor answers with a small object from a free list.  All else that can be asked of it is
// answered by the ordinary bound method, so that a program sees no difference.
//
// The garbage collector does not know these objects: a lock that keeps its own bound __enter__ as an
// attribute is never collected.  The free list is guarded by the GIL.

#include "binding.h"

#include <stddef.h>

typedef struct {
	PyObject_HEAD
	vectorcallfunc vectorcall;
	PyObject *self;
	PyMethodDescrObject *method;
} Bound;

#define KEPT 16
static Bound *spare[KEPT];
static int spares;

static PyTypeObject bound_type;
static PyTypeObject with_method_type;

static PyObject *ordinary(Bound *b)
{
	return PyMethodDescr_Type.tp_descr_get((PyObject *)b->method, b->self, (PyObject *)Py_TYPE(b->self));
}

static PyObject *call_without(Bound *b, PyObject *const *args, size_t flags, PyObject *names)
{
	(void)args;
	if (PyVectorcall_NARGS(flags) || (names && PyTuple_GET_SIZE(names)))
		return PyErr_Format(PyExc_TypeError, "%s() takes no arguments", b->method->d_method->ml_name);
	return b->method->d_method->ml_meth(b->self, NULL);
}

static PyObject *call_with(Bound *b, PyObject *const *args, size_t flags, PyObject *names)
{
	if (names && PyTuple_GET_SIZE(names))
		return PyErr_Format(PyExc_TypeError, "%s() takes no keyword arguments", b->method->d_method->ml_name);
	return ((_PyCFunctionFast)(void (*)(void))b->method->d_method->ml_meth)(b->self, args, PyVectorcall_NARGS(flags));
}

static PyObject *with_method_get(PyObject *method, PyObject *self, PyObject *type)
{
	if (!self || !PyObject_TypeCheck(self, PyDescr_TYPE(method)))
		return PyMethodDescr_Type.tp_descr_get(method, self, type);
	Bound *b;
	if (spares) {
		b = spare[--spares];
		_Py_NewReference((PyObject *)b);
	} else if (!(b = PyObject_New(Bound, &bound_type))) {
		return NULL;
	}
	Py_INCREF(self);
	Py_INCREF(method);
	b->self = self;
	b->method = (PyMethodDescrObject *)method;
	b->vectorcall = (vectorcallfunc)(b->method->d_method->ml_flags & METH_NOARGS ? call_without : call_with);
	return (PyObject *)b;
}

static void bound_dealloc(Bound *b)
{
	Py_CLEAR(b->self); // may run other Python code, which uses the list
	Py_CLEAR(b->method);
	if (spares < KEPT)
		spare[spares++] = b;
	else
		PyObject_Free(b);
}

static PyObject *bound_getattr(Bound *b, PyObject *name)
{
	PyObject *method = ordinary(b), *found = method ? PyObject_GetAttr(method, name) : NULL;
	Py_XDECREF(method);
	return found;
}

static PyObject *bound_repr(Bound *b)
{
	PyObject *method = ordinary(b), *text = method ? PyObject_Repr(method) : NULL;
	Py_XDECREF(method);
	return text;
}

static Py_hash_t bound_hash(Bound *b)
{
	PyObject *method = ordinary(b);
	Py_hash_t hash = method ? PyObject_Hash(method) : -1;
	Py_XDECREF(method);
	return hash;
}

static PyObject *bound_compare(Bound *b, PyObject *other, int how)
{
	PyObject *one = ordinary(b), *two = NULL, *result = NULL;
	if (Py_TYPE(other) == &bound_type) {
		two = ordinary((Bound *)other);
	} else {
		Py_INCREF(other);
		two = other;
	}
	if (one && two)
		result = PyObject_RichCompare(one, two, how);
	Py_XDECREF(one);
	Py_XDECREF(two);
	return result;
}

static PyTypeObject bound_type = {
	PyVarObject_HEAD_INIT(NULL, 0).tp_name = "harness._native.bound_with_method",
	.tp_doc = "__enter__ or __exit__ of one lock.",
	.tp_basicsize = sizeof(Bound),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.tp_vectorcall_offset = offsetof(Bound, vectorcall),
	.tp_call = PyVectorcall_Call,
	.tp_dealloc = (destructor)bound_dealloc,
	.tp_getattro = (getattrofunc)bound_getattr,
	.tp_repr = (reprfunc)bound_repr,
	.tp_hash = (hashfunc)bound_hash,
	.tp_richcompare = (richcmpfunc)bound_compare,
};

static PyTypeObject with_method_type = {
	PyVarObject_HEAD_INIT(NULL, 0).tp_name = "harness._native.with_method",
	.tp_doc = "__enter__ or __exit__ of a lock type.",
	.tp_basicsize = sizeof(PyMethodDescrObject),
	.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
		    Py_TPFLAGS_DISALLOW_INSTANTIATION,
	.tp_vectorcall_offset = offsetof(PyMethodDescrObject, vectorcall),
	.tp_descr_get = with_method_get,
};

// A method descriptor becomes one of ours: same record, another answer when it is bound.
int hd_quick_with(PyTypeObject *type)
{
	with_method_type.tp_base = &PyMethodDescr_Type;
	if (PyType_Ready(&bound_type) < 0 || PyType_Ready(&with_method_type) < 0)
		return -1;
	static const char *const names[] = {"__enter__", "__exit__"};
	for (int i = 0; i < 2; i++) {
		PyObject *method = PyDict_GetItemString(type->tp_dict, names[i]);
		if (!method || Py_TYPE(method) != &PyMethodDescr_Type)
			continue; // an interpreter that makes something else of it: slower, and right
		Py_SET_TYPE(method, &with_method_type);
	}
	PyType_Modified(type);
	return 0;
}
