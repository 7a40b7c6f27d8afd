// Where in the program are we?  The innermost Python frame that is not the
// harness's own: (code object, instruction) -> number of a site in the arena.
//
// Finding the line is slow, so the answer is kept per process by code object and
// instruction; the entry holds a reference to the code, so its address cannot be
// taken over by another.

#include <patchlevel.h>

// The interpreter's own headers must know before Python.h that they may be used.
#if PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030e0000 && !defined(Py_GIL_DISABLED)
#define HD_FRAME_RECORD 1
#define Py_BUILD_CORE 1
#endif

#include "binding.h"

#include <string.h>

#ifdef HD_FRAME_RECORD
#include <internal/pycore_frame.h>
#include <internal/pycore_pystate.h>
#endif

#define CACHE 4096
#define OWN UINT32_MAX // a frame of the harness: look at its caller instead

static struct entry {
	PyCodeObject *code;
	int instruction;
	uint32_t site;
	uint64_t boot_id;
} cache[CACHE];

// Directory of the harness itself, with a slash; empty until it is known.  A program
// may have a folder harness/locks of its own.
static char own[1024];

static void learn_own(void)
{
	PyObject *module = PyImport_ImportModule("harness.errors");
	PyObject *file = module ? PyModule_GetFilenameObject(module) : NULL;
	const char *text = file ? PyUnicode_AsUTF8(file) : NULL;
	const char *slash = text ? strrchr(text, '/') : NULL;
	if (slash && (size_t)(slash - text) + 2 < sizeof own)
		memcpy(own, text, (size_t)(slash - text) + 1);
	Py_XDECREF(file);
	Py_XDECREF(module);
	PyErr_Clear();
}

static bool is_own(const char *file)
{
	if (!own[0])
		learn_own();
	size_t length = strlen(own);
	if (!length || strncmp(file, own, length))
		return false;
	file += length;
	return !strncmp(file, "locks/", 6) || !strncmp(file, "shm/", 4) || !strncmp(file, "probe/", 6);
}

static uint32_t look_up(struct hd_arena *a, PyCodeObject *code, int instruction)
{
	PyObject *file = code->co_filename, *function;
#if PY_VERSION_HEX >= 0x030b0000
	function = code->co_qualname;
#else
	function = code->co_name;
#endif
	const char *file_text = PyUnicode_AsUTF8(file), *function_text = PyUnicode_AsUTF8(function);
	if (!file_text || !function_text) {
		PyErr_Clear();
		return 0;
	}
	if (is_own(file_text))
		return OWN;
	int line = PyCode_Addr2Line(code, instruction);
	return hd_intern_site(a, file_text, line < 0 ? 0 : (uint32_t)line, function_text);
}

static uint32_t site_of(struct hd_arena *a, PyCodeObject *code, int instruction)
{
	uintptr_t h = ((uintptr_t)code >> 5) * 31 + (uintptr_t)instruction;
	struct entry *e = &cache[h % CACHE];
	if (e->code == code && e->instruction == instruction && e->boot_id == a->boot_id)
		return e->site;
	uint32_t site = look_up(a, code, instruction);
	Py_INCREF(code);
	Py_XDECREF(e->code);
	e->code = code;
	e->instruction = instruction;
	e->site = site;
	e->boot_id = a->boot_id;
	return site;
}

// The public way to the current frame makes a frame object for every function that
// takes a lock, which costs more than the lock.  Where the interpreter's own record
// is known (3.11 - 3.13) it is read in place; elsewhere the public way serves.
#ifdef HD_FRAME_RECORD

static bool same_file(PyObject *one, PyObject *two)
{
	return one == two || PyUnicode_Compare(one, two) == 0;
}

static PyCodeObject *code_of(struct _PyInterpreterFrame *frame)
{
#if PY_VERSION_HEX >= 0x030d0000
	return _PyFrame_GetCode(frame);
#else
	return frame->f_code;
#endif
}

static struct _PyInterpreterFrame *innermost(void)
{
	PyThreadState *thread = _PyThreadState_GET();
#if PY_VERSION_HEX >= 0x030d0000
	return thread->current_frame;
#else
	return thread->cframe->current_frame;
#endif
}

// The site of a frame, or of the first outside the harness that called it; *frame
// becomes that one.
static uint32_t next_site(struct hd_arena *a, struct _PyInterpreterFrame **frame)
{
	for (; *frame; *frame = (*frame)->previous) {
		if (_PyFrame_IsIncomplete(*frame))
			continue;
		int instruction = _PyInterpreterFrame_LASTI(*frame) * (int)sizeof(_Py_CODEUNIT);
		uint32_t site = site_of(a, code_of(*frame), instruction);
		if (site != OWN)
			return site;
	}
	return 0;
}

uint32_t current_site(struct hd_arena *a)
{
	if (a->mode & HD_NO_SITES)
		return 0;
	struct _PyInterpreterFrame *frame = innermost();
	return next_site(a, &frame);
}

// Also where the file that we are in was called from: of a word that only a few
// functions may change, the caller says more than they do.
uint32_t current_sites(struct hd_arena *a, uint32_t *outer)
{
	*outer = 0;
	if (a->mode & HD_NO_SITES)
		return 0;
	struct _PyInterpreterFrame *frame = innermost();
	uint32_t site = next_site(a, &frame);
	if (!frame)
		return site;
	PyObject *file = code_of(frame)->co_filename;
	do {
		frame = frame->previous;
		while (frame && _PyFrame_IsIncomplete(frame))
			frame = frame->previous;
	} while (frame && same_file(code_of(frame)->co_filename, file));
	*outer = next_site(a, &frame);
	return site;
}

#else

uint32_t current_site(struct hd_arena *a)
{
	if (a->mode & HD_NO_SITES)
		return 0;
	PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get()); // new reference
	uint32_t site = 0;
	while (frame) {
		PyCodeObject *code = PyFrame_GetCode(frame);
		site = site_of(a, code, PyFrame_GetLasti(frame));
		Py_DECREF(code);
		if (site != OWN)
			break;
		PyFrameObject *back = PyFrame_GetBack(frame);
		Py_DECREF(frame);
		frame = back;
	}
	Py_XDECREF(frame);
	return site == OWN ? 0 : site;
}

uint32_t current_sites(struct hd_arena *a, uint32_t *outer)
{
	*outer = 0; // this way is slow enough with one frame
	return current_site(a);
}

#endif
