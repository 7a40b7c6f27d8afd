// What help() and inspect.signature() say of the lock types.  First the call as Python writes it.

#ifndef HANGDOG_DOCS_LOCKS_H
#define HANGDOG_DOCS_LOCKS_H

#define DOC_ACQUIRE(call, what)                                                                                        \
	call "\n--\n\n" what "\n\n"                                                                                    \
	     "True: this thread holds it now.  False: it was held, and this call does not block, or `timeout`\n"      \
	     "seconds have passed (-1 or None: no limit).  Errors: SelfDeadlock (this thread holds it already),\n"    \
	     "OwnerDied (held now, and its data is suspect: repair it and recover()), LockBroken, HeldTooMany;\n"     \
	     "TypeError and ValueError for arguments that mean nothing."
#define ACQUIRE "acquire($self, /, blocking=True, timeout=-1)"

// --- all three

#define DOC_format                                                                                                     \
	"format(arena, offset, class_id, instance, /)\n--\n\n"                                                         \
	"Write a new record, free, at `offset` bytes of a native arena.  For code that makes records."
#define DOC_exit                                                                                                       \
	"__exit__($self, kind=None, value=None, trace=None, /)\n--\n\n"                                                \
	"release().  When the lock was broken meanwhile, the LockBroken that is on its way passes through."
#define DOC_try_acquire                                                                                                \
	"try_acquire($self, /)\n--\n\n"                                                                                \
	"acquire(blocking=False): True when this thread holds it now, at once.  Errors: as acquire()."
#define DOC_recover                                                                                                    \
	"recover($self, /)\n--\n\n"                                                                                    \
	"Say that the data is repaired, after OwnerDied: from now on the lock is as any other, and still held.\n\n"    \
	"Without it, release() breaks the lock for ever: every later acquire() gets LockBroken.  Error: NotOwner."

// --- Mutex

#define DOC_mutex                                                                                                      \
	"Mutex(arena, offset)\n--\n\n"                                                                                 \
	"A mutex in shared memory, for threads and processes, that knows its holder.\n\n"                              \
	"As threading.Lock, and more: it refuses misuse at the call, survives its holder's death (OwnerDied),\n"       \
	"and says who holds it.  Made by Arena.mutex()."
#define DOC_mutex_acquire DOC_ACQUIRE(ACQUIRE, "Take it.")
#define DOC_mutex_release                                                                                              \
	"release($self, /)\n--\n\n"                                                                                    \
	"Give it back.  Error: NotOwner when this thread does not hold it."
#define DOC_mutex_enter                                                                                                \
	"__enter__($self, /)\n--\n\n"                                                                                  \
	"acquire() for a `with` block; True.  After OwnerDied the lock is given up, and so broken for ever, because\n" \
	"the block will not run: a program that can repair the data uses repaired_by()."
#define DOC_mutex_held "held($self, /)\n--\n\nTrue when this thread holds it."
#define DOC_mutex_locked                                                                                               \
	"locked($self, /)\n--\n\n"                                                                                     \
	"True when it is held, by any thread of any process; a dead holder counts.  Old when it is returned."
#define DOC_mutex_holder                                                                                               \
	"holder($self, /)\n--\n\n"                                                                                     \
	"Who holds it (Holder: seat, pid, tid, role, site, since, held_for, alive), or None.  Takes no lock."

// --- RwLock

#define DOC_rwlock                                                                                                     \
	"RwLock(arena, offset)\n--\n\n"                                                                                \
	"A read/write lock in shared memory, for threads and processes, that knows its holders.\n\n"                   \
	"`with lock.read:` shares it, `with lock.write:` (or `with lock:`) has it alone.  A waiting writer goes\n"     \
	"before new readers.  Made by Arena.rwlock()."
#define DOC_read                                                                                                       \
	"The read side: a lock as threading has them (acquire, release, locked, with), held by many at a time.\n\n"    \
	"Called as read(timeout=None, pass_writers=False) it takes the lock for reading: False when `timeout`\n"       \
	"seconds have passed.  `pass_writers`: not behind a waiting writer, for a thread that present readers wait for."
#define DOC_write                                                                                                      \
	"The write side: a lock as threading has them (acquire, release, locked, with), held by one at a time.\n\n"    \
	"Called as write(timeout=None) it takes the lock for writing: False when `timeout` seconds have passed."
#define DOC_rw_acquire DOC_ACQUIRE(ACQUIRE, "Take it for writing.")
#define DOC_try_read                                                                                                   \
	"try_read($self, /)\n--\n\n"                                                                                   \
	"Take it for reading if that can be done at once: True or False.  Errors: as acquire()."
#define DOC_try_write                                                                                                  \
	"try_write($self, /)\n--\n\n"                                                                                  \
	"Take it for writing if that can be done at once: True or False.  Errors: as acquire()."
#define DOC_upgrade                                                                                                    \
	"upgrade($self, /)\n--\n\n"                                                                                    \
	"Of a reader: become the writer when the other readers have left.\n\n"                                         \
	"False at once when another reader is upgrading: it waits for this one, so release and start over.\n"          \
	"Errors: NotOwner, SelfDeadlock (it would wait for its own second read), OwnerDied."
#define DOC_downgrade                                                                                                  \
	"downgrade($self, /)\n--\n\n"                                                                                  \
	"Of the writer: become a reader, without a moment in which another writer could come in.\n\n"                  \
	"Errors: NotOwner, OwnerDied (first repair the data and recover())."
#define DOC_rw_release                                                                                                 \
	"release($self, /)\n--\n\n"                                                                                    \
	"Give it back, however this thread holds it.  Error: NotOwner when it does not."
#define DOC_rw_enter                                                                                                   \
	"__enter__($self, /)\n--\n\n"                                                                                  \
	"acquire() for writing, for a `with` block; True.  After OwnerDied the lock is given up, and so broken for\n"  \
	"ever, because the block will not run: a program that can repair the data uses repaired_by()."
#define DOC_rw_held                                                                                                    \
	"held($self, /)\n--\n\n"                                                                                       \
	"How this thread holds it: \"read\", \"write\", or None."
#define DOC_rw_locked                                                                                                  \
	"locked($self, /)\n--\n\n"                                                                                     \
	"True when it is held, for reading or writing, by any thread of any process.  Old when it is returned."
#define DOC_holders                                                                                                    \
	"holders($self, /)\n--\n\n"                                                                                    \
	"All its holders, as RwHolder (seat, pid, tid, role, site, since, kind, held_for, alive).  Takes no lock."
#define DOC_rw_holder                                                                                                  \
	"holder($self, /)\n--\n\n"                                                                                     \
	"The writer, or else one of the readers, as Holder; None when it is free.  Takes no lock."

// --- one side of a read/write lock

#define DOC_side                                                                                                       \
	"Side(lock, kind)\n--\n\n"                                                                                     \
	"One side of a read/write lock, kind \"read\" or \"write\": what RwLock.read and RwLock.write are.\n\n"        \
	"A lock as threading has them.  It can also be called, as the verbs read(timeout=None, pass_writers=False)\n"  \
	"and write(timeout=None)."
#define DOC_side_acquire DOC_ACQUIRE(ACQUIRE, "Take the lock for reading, or writing.")
#define DOC_side_release                                                                                               \
	"release($self, /)\n--\n\n"                                                                                    \
	"Give it back, however this thread holds it now: it may have upgraded.  Error: NotOwner."
#define DOC_side_locked                                                                                                \
	"locked($self, /)\n--\n\n"                                                                                     \
	"True when a thread of any process holds the lock in this way.  Old when it is returned."
#define DOC_side_enter                                                                                                 \
	"__enter__($self, /)\n--\n\n"                                                                                  \
	"acquire() for a `with` block; True.  After OwnerDied the lock is given up, and so broken for ever."
#define DOC_side_exit DOC_exit
#define DOC_side_reduce "__reduce__($self, /)\n--\n\nIt travels to other processes with its lock."

// --- Channel

#define DOC_channel                                                                                                    \
	"Channel(arena, offset)\n--\n\n"                                                                               \
	"A place in shared memory to sleep at and to be woken, for threads and processes.\n\n"                         \
	"wait(), wait_for(), notify() and notify_all() are as in threading.Condition; sleep() and wakeup() as in BSD.\n" \
	"The condition that a sleeper waits for is on record, so that a lost wakeup is found.  Made by\n"              \
	"Arena.channel()."
#define DOC_intend                                                                                                     \
	"intend($self, /)\n--\n\n"                                                                                     \
	"A ticket for block(), taken while the condition is looked at under its lock: any later wakeup counts."
#define DOC_block                                                                                                      \
	"block($self, /, intent, wmesg, address=0, size=0, op=0, value=0, timeout=None, idle=False, guard=0, lock=None, keep=False)\n--\n\n" \
	"Sleep until a wakeup later than `intent`; False when `timeout` seconds have passed.\n\n"                      \
	"sleep() and wait() are made of it.  `wmesg`: why, for dumps.  `address` to `value`: the condition, a word in\n" \
	"the arena.  `idle`: this may last for ever.  `guard`: offset of the lock that guards the word.  `lock`: released\n" \
	"when the sleep is on record, taken back after it with `keep`."
#define DOC_wakeup                                                                                                     \
	"wakeup($self, /)\n--\n\n"                                                                                     \
	"Wake every thread that sleeps here.  Change the condition first, under its lock."
#define DOC_wakeup_one                                                                                                 \
	"wakeup_one($self, /)\n--\n\n"                                                                                 \
	"Wake one of the threads that sleep here.  Change the condition first, under its lock."

#endif
