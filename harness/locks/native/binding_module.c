// Module set-up: types, constants, the layout of every shared structure, and the
// one table from status to exception.

#include "binding.h"

#include <stdarg.h>
#include <stddef.h>

PyTypeObject *arena_type, *mutex_type, *rwlock_type, *channel_type, *contract_type, *resolver_type;
static PyObject *errors_module;

PyObject *hd_error_class(const char *name)
{
	if (!errors_module && !(errors_module = PyImport_ImportModule("harness.errors")))
		return NULL;
	PyObject *found = PyObject_GetAttrString(errors_module, name);
	Py_XDECREF(found); // the module keeps it
	return found;
}

PyObject *raise_named(const char *class_name, const char *format, ...)
{
	PyObject *class = hd_error_class(class_name);
	if (!class)
		return NULL;
	va_list args;
	va_start(args, format);
	PyErr_FormatV(class, format, args);
	va_end(args);
	return NULL;
}

PyObject *raise_status(enum hd_status status, LockObject *lock, const char *doing)
{
	static const struct {
		const char *class_name, *text;
	} table[] = {
		[HD_OWNER_DIED] = {"OwnerDied", "its last holder died inside; this thread holds it now and the data is suspect"},
		[HD_SELF_DEADLOCK] = {"SelfDeadlock", "this thread already holds it"},
		[HD_NOT_OWNER] = {"NotOwner", "this thread does not hold it"},
		[HD_BROKEN] = {"LockBroken", "abandoned after its holder died, never repaired"},
		[HD_FULL] = {"HeldTooMany", "this thread holds more locks than its seat can record"},
		[HD_ORDER] = {"ContractViolation", "taken against the lock order"},
	};
	if (status == HD_SYSTEM)
		return PyErr_SetFromErrno(PyExc_OSError);
	char name[64];
	lock_text(lock, name, sizeof name);
	return raise_named(table[status].class_name, "%s %s: %s", doing, name, table[status].text);
}

#define U8 "u8"
#define FIELD(s, f, code, count) {#s, #f, offsetof(struct s, f), code, count}
static const struct row {
	const char *owner, *field;
	size_t offset;
	const char *code;
	unsigned count;
} layout[] = {
#include "layout.inc"
};

static const struct {
	const char *name;
	size_t size;
} sizes[] = {
	{"hd_arena", sizeof(struct hd_arena)},   {"hd_seat", sizeof(struct hd_seat)},
	{"hd_mutex", sizeof(struct hd_mutex)},   {"hd_rwlock", sizeof(struct hd_rwlock)},
	{"hd_channel", sizeof(struct hd_channel)}, {"hd_held", sizeof(struct hd_held)},
	{"hd_claim", sizeof(struct hd_claim)},   {"hd_change", sizeof(struct hd_change)},
	{"hd_event", sizeof(struct hd_event)},
	{"hd_class", sizeof(struct hd_class)},   {"hd_edge", sizeof(struct hd_edge)},
	{"hd_site", sizeof(struct hd_site)},     {"hd_name", sizeof(struct hd_name)},
	{"hd_report", sizeof(struct hd_report)}, {"hd_entry", sizeof(struct hd_entry)},
};

static PyObject *make_layout(void)
{
	PyObject *all = PyDict_New();
	for (size_t i = 0; all && i < sizeof sizes / sizeof *sizes; i++) {
		PyObject *rows = PyList_New(0);
		for (size_t k = 0; rows && k < sizeof layout / sizeof *layout; k++) {
			const struct row *r = &layout[k];
			if (strcmp(r->owner, sizes[i].name))
				continue;
			PyObject *row = Py_BuildValue("(snsI)", r->field, (Py_ssize_t)r->offset, r->code, r->count);
			if (!row || PyList_Append(rows, row) < 0)
				Py_CLEAR(rows);
			Py_XDECREF(row);
		}
		PyObject *entry = rows ? Py_BuildValue("(nN)", (Py_ssize_t)sizes[i].size, rows) : NULL;
		if (!entry || PyDict_SetItemString(all, sizes[i].name, entry) < 0)
			Py_CLEAR(all);
		Py_XDECREF(entry);
	}
	return all;
}

#define C(name) {#name, HD_##name}
static const struct {
	const char *name;
	long value;
} constants[] = {
	C(VERSION), C(MAX_CLASSES), C(MAX_HELD), C(MAX_CLAIMS), C(CHANGES), C(RING), C(SITES), C(NAMES), C(REPORTS),
	C(DIRECTORY), C(RECORD), C(NOISE), C(FREEZE), C(NO_SITES), C(STRICT), C(MUTEX), C(READ), C(WRITE),
	C(CHANNEL), C(RUNNING), C(WAIT_MUTEX), C(WAIT_READ), C(WAIT_WRITE), C(WAIT_UPGRADE), C(SLEEPING),
	C(IDLE), C(IO), C(PARKED), C(JOINING), C(REPORTING), C(EV_ACQUIRE), C(EV_RELEASE), C(EV_WAIT),
	C(EV_TRY_FAILED), C(EV_SLEEP), C(EV_WOKEN), C(EV_WAKEUP), C(EV_POINT), C(EV_BEGIN), C(EV_END),
	C(EV_CLAIM), C(EV_UNCLAIM), C(NOISE_NEXT_LOCK), C(NOISE_BEFORE_SLEEP), C(NOISE_BEFORE_WAKEUP),
	C(NOISE_AFTER_RELEASE), C(NOISE_POINT), C(NOISE_PLACES), C(REPORT_ORDER), C(REPORT_SELF_DEADLOCK),
	C(REPORT_CONTRACT), C(REPORT_SLEEP_HOLDING), C(REPORT_OWNER_DIED), C(REPORT_INVARIANT),
	C(REPORT_WRONG_DATA), C(REPORT_PANIC), C(REPORT_STALE), C(REPORT_LEAK), C(NO_PREDICATE), C(EQ), C(NE),
	C(GT), C(GE), C(LT), C(LE), C(CLEAR), C(SET), C(MAY_SLEEP), C(NEST), C(CHAIN),
};

static PyObject *make_constants(void)
{
	PyObject *all = PyDict_New();
	for (size_t i = 0; all && i < sizeof constants / sizeof *constants; i++) {
		PyObject *value = PyLong_FromLong(constants[i].value);
		if (!value || PyDict_SetItemString(all, constants[i].name, value) < 0)
			Py_CLEAR(all);
		Py_XDECREF(value);
	}
	return all;
}

static PyObject *py_fixed_size(PyObject *module, PyObject *arg)
{
	(void)module;
	unsigned long seats = PyLong_AsUnsignedLong(arg);
	if (PyErr_Occurred())
		return NULL;
	return PyLong_FromUnsignedLongLong(hd_fixed_size((uint32_t)seats));
}

static PyObject *py_format(PyObject *module, PyObject *args)
{
	(void)module;
	PyObject *buffer;
	const char *name;
	unsigned int seats;
	unsigned long long boot_id;
	if (!PyArg_ParseTuple(args, "OsIK:format", &buffer, &name, &seats, &boot_id))
		return NULL;
	Py_buffer view;
	if (PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE) < 0)
		return NULL;
	enum hd_status status = hd_format(view.buf, (uint64_t)view.len, name, seats, boot_id);
	Py_ssize_t length = view.len;
	PyBuffer_Release(&view);
	if (status != HD_OK)
		return raise_named("ArenaError", "%zd bytes are too few for an arena with %u seats: it takes %llu",
				   length, seats, (unsigned long long)hd_fixed_size(seats));
	Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
	{"fixed_size", py_fixed_size, METH_O, "Bytes before the heap of an arena with this many seats."},
	{"format", py_format, METH_VARARGS, "Write a new header into a zeroed writable buffer."},
	{NULL, NULL, 0, NULL},
};

static int add_type(PyObject *module, PyType_Spec *spec, PyTypeObject **where)
{
	*where = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
	return *where ? PyModule_AddType(module, *where) : -1;
}

static int execute(PyObject *module)
{
	if (add_type(module, &arena_spec, &arena_type) < 0 || add_type(module, &mutex_spec, &mutex_type) < 0 ||
	    add_type(module, &rwlock_spec, &rwlock_type) < 0 || add_type(module, &channel_spec, &channel_type) < 0 ||
	    add_type(module, &contract_spec, &contract_type) < 0 || add_type(module, &resolver_spec, &resolver_type) < 0)
		return -1;
	PyObject *all = make_layout(), *numbers = make_constants();
	int failed = !all || !numbers || PyModule_AddObjectRef(module, "LAYOUT", all) < 0 ||
		     PyModule_AddObjectRef(module, "CONSTANTS", numbers) < 0;
	Py_XDECREF(all);
	Py_XDECREF(numbers);
	return failed ? -1 : 0;
}

static PyModuleDef_Slot slots[] = {
	{Py_mod_exec, execute},
#ifdef Py_GIL_DISABLED
	{Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
	{0, NULL},
};

static struct PyModuleDef definition = {
	PyModuleDef_HEAD_INIT,
	.m_name = "harness._native",
	.m_doc = "Locks in shared memory that can say who holds them (see docs/design.md).",
	.m_methods = functions,
	.m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
	return PyModuleDef_Init(&definition);
}
