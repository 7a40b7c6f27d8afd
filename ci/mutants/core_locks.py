"""Mutants of lock words, the mutex and the read/write lock."""

from ci.mutants.engine import Mutant

CORE = "harness/locks/native/*.[ch]"


def drop(name: str, old: str) -> Mutant:
    return Mutant(name, CORE, old, "")


def change(name: str, old: str, new: str) -> Mutant:
    return Mutant(name, CORE, old, new)


WORDS = (
    change(
        "give: a queued waiter is not woken",
        "\tif (atomic_load(first))\n\t\thd_wake(word, 0x7fffffff, ~0u); // it",
        "\tif (0)\n\t\thd_wake(word, 0x7fffffff, ~0u); // it",
    ),
    change("give: a sleeper is not woken", "else if (old & HD_WAITERS)", "else if (0)"),
    change(
        "give: the doubt is lost",
        "atomic_exchange(word, rest)",
        "atomic_exchange(word, rest & ~HD_SUSPECT)",
    ),
    change(
        "take: a queued one is overtaken",
        "!hd_id_dead(a, f))\n\t\t\treturn HD_NOT_TAKEN; // it has waited longer",
        "0)\n\t\t\treturn HD_NOT_TAKEN; // it has waited longer",
    ),
    change(
        "take: a living holder's place is taken",
        "\t\t\tif (!hd_id_dead(a, holder))\n\t\t\t\treturn HD_NOT_TAKEN;",
        "",
    ),
    change(
        "take: the place of a dead one is never taken",
        "\t\t\tif (!hd_id_dead(a, holder))",
        "\t\t\tif (holder)",
    ),
    change(
        "take: death inside is not in doubt",
        "\t\t\t\tsuspect = HD_SUSPECT;",
        "\t\t\t\tsuspect = 0;",
    ),
    change(
        "take: every death of a claimer is in doubt",
        "(v & (HD_GRANTED | HD_CLOSED)) == (HD_GRANTED | HD_CLOSED))\n\t\t\t\tsuspect",
        "v)\n\t\t\t\tsuspect",
    ),
    change(
        "take: SUSPECT of before is forgotten", "uint32_t suspect = v & HD_SUSPECT;", "uint32_t suspect = 0;"
    ),
    change("take: a thread that has slept does not keep WAITERS", "(slept || holder ? HD_WAITERS : 0)", "0"),
    change(
        "take: WAITERS of before is forgotten",
        "id | suspect | (v & HD_WAITERS)",
        "id | suspect",
    ),
    change(
        "take: the thread that got it leaves itself queued",
        "atomic_compare_exchange_strong(first, &f, 0); // it was us",
        "(void)0; // it was us",
    ),
    change(
        "take: stored, not compared",
        "if (!atomic_compare_exchange_strong(word, &v, mine))\n\t\t\tcontinue;",
        "atomic_store(word, mine);",
    ),
    drop(
        "sleep: the life of the holder is not watched",
        "\tif (!(now & FUTEX_TID_MASK) || (now & FUTEX_OWNER_DIED))\n\t\treturn MOVED;\n",
    ),
    change(
        "sleep: WAITERS is not set",
        "if (!(v & HD_WAITERS) && !atomic_compare_exchange_strong(word, &v, v | HD_WAITERS))",
        "if (0)",
    ),
    change("sleep: for the word only", "\tif (!blocker)\n", "\tif (1)\n"),
    change(
        "sleep: the kernel is not asked to tell of the death",
        "if (!(now & FUTEX_WAITERS) && !atomic_compare_exchange_strong(life, &now, now | FUTEX_WAITERS))",
        "if (0)",
    ),
    change(
        "sleep: the others of a dead one are not woken",
        "hd_wake((_Atomic uint32_t *)life, 0x7fffffff, FUTEX_BITSET_MATCH_ANY);",
        "(void)0;",
    ),
    change(
        "queue up: over one that queues already",
        "f != id && (!f || hd_id_dead(a, f)) && atomic",
        "f != id && atomic",
    ),
    change(
        "unqueue: no waiter is woken",
        "atomic_compare_exchange_strong(first, &f, 0))\n\t\thd_wake(word",
        "atomic_compare_exchange_strong(first, &f, 0) && 0)\n\t\thd_wake(word",
    ),
)

MUTEX = (
    change(
        "mutex: the row is written after the word",
        "hd_push(a, s, hd_offset(a, m), m->class_id, HD_MUTEX | HD_INTENT, site);\n\tif (!h)",
        "hd_push(a, s, 0, m->class_id, HD_MUTEX | HD_INTENT, site);\n\tif (!h)",
    ),
    change(
        "mutex: release drops the row before the word",
        "\thd_word_give(&m->owner, &m->first, 0);\n\tif (h)\n\t\thd_pop(s, h);",
        "\tif (h)\n\t\thd_pop(s, h);\n\thd_word_give(&m->owner, &m->first, 0);",
    ),
    change(
        "mutex: a broken one is given out",
        "if (atomic_load_explicit(&m->suspect, memory_order_relaxed) == 2) {",
        "if (0) {",
    ),
    drop("mutex: a broken one is kept", "\t\thd_word_give(&m->owner, &m->first, 0);\n"),
    change(
        "mutex: OwnerDied is not told",
        "return how == HD_TAKEN_SUSPECT ? HD_OWNER_DIED : HD_OK;",
        "return how == HD_TAKEN_SUSPECT ? HD_OK : HD_OK;",
    ),
    change(
        "mutex: OwnerDied and let go, not broken",
        "\t\tatomic_store(&m->suspect, 2); // not repaired",
        "\t\t(void)0; // not repaired",
    ),
    change(
        "mutex: recover does not clear the doubt", "atomic_fetch_and(&m->owner, ~HD_SUSPECT);", "(void)0;"
    ),
    change(
        "mutex: recover by a thread that does not hold it",
        "\tif (!mine(s, m))\n\t\treturn HD_NOT_OWNER;\n\tatomic_fetch_and",
        "\tatomic_fetch_and",
    ),
    change(
        "mutex: only the seat is compared, not the generation",
        "(&m->owner, memory_order_relaxed) & HD_ID_MASK) == s->id;",
        "(&m->owner, memory_order_relaxed) & HD_SEAT_MASK) == s->number;",
    ),
    change(
        "mutex: the fast way overtakes a queued waiter",
        "if (slept || atomic_load_explicit(&m->first, memory_order_relaxed) ||",
        "if (slept ||",
    ),
    change(
        "mutex: one's own is waited for",
        "return ask != HD_TRY ? HD_SELF_DEADLOCK : HD_BUSY; // one's own",
        "return HD_BUSY; // one's own",
    ),
    change(
        "mutex: a failed try leaves its row",
        "\t\treturn took(a, s, m, h, how);\n\thd_pop(s, h);",
        "\t\treturn took(a, s, m, h, how);",
    ),
    change(
        "mutex: the estate leaves the word",
        "while ((v & HD_SEAT_MASK) == seat && !atomic_compare_exchange_weak(&m->owner",
        "while (0 && !atomic_compare_exchange_weak(&m->owner",
    ),
    change(
        "mutex: the estate forgets that it died inside",
        "&v, HD_SUSPECT | (v & HD_WAITERS))",
        "&v, v & HD_WAITERS)",
    ),
    change(
        "mutex: a waiter that waited too long never queues",
        "\t\tif (now - s->wait_since > HD_PATIENCE_NS && hd_word_queue_up(a, &m->first, s->id))\n\t\t\tcontinue;\n",
        "",
    ),
    change(
        "mutex: sleeps without a last look after queueing",
        "hd_word_queue_up(a, &m->first, s->id))\n\t\t\tcontinue;",
        "hd_word_queue_up(a, &m->first, s->id))\n\t\t\t(void)0;",
    ),
    change(
        "mutex: after a sleep it takes as if it had not slept",
        "for (bool slept = !first;; slept = true) {",
        "for (bool slept = false;;) {",
    ),
    change(
        "mutex: gives up and stays queued",
        "\t\t\thd_word_unqueue(&m->owner, &m->first, s->id);\n\t\t\thd_wait_end(s);",
        "\t\t\thd_wait_end(s);",
    ),
)

RWLOCK = (
    change(
        "rw: a reader does not look after setting its cell",
        "\t\tif (!(*by = blocker(l, pass, &where)))\n\t\t\treturn GOT_READ;\n\t\tcell_flip",
        "\t\tif (1)\n\t\t\treturn GOT_READ;\n\t\tcell_flip",
    ),
    change("rw: a blocked reader keeps READING", "\t\tcell_flip(l, s->number);\n", ""),
    change(
        "rw: a blocked reader does not tell the claimer",
        "\t\tcell_flip(l, s->number);\n\t\tleave_note(l);",
        "\t\tcell_flip(l, s->number);",
    ),
    change(
        "rw: writer is looked at first, upgrader afterwards",
        "w = atomic_load(&l->upgrader);\n\t*where = &l->upgrader;\n\tif (w & stops)\n\t\treturn w;\n\tw = atomic_load(&l->writer);\n\t*where = &l->writer;",
        "w = atomic_load(&l->writer);\n\t*where = &l->writer;\n\tif (w & stops)\n\t\treturn w;\n\tw = atomic_load(&l->upgrader);\n\t*where = &l->upgrader;",
    ),
    change(
        "rw: passing readers stop for no thread",
        "pass ? HD_CLOSED | HD_GRANTED | HD_SUSPECT : ~0u",
        "pass ? HD_SUSPECT : ~0u",
    ),
    change(
        "rw: passing readers walk past the doubt",
        "pass ? HD_CLOSED | HD_GRANTED | HD_SUSPECT : ~0u",
        "pass ? HD_CLOSED | HD_GRANTED : ~0u",
    ),
    change(
        "rw: dead readers count",
        "if (s && hd_seat_alive(s))\n\t\t\t\treturn s;",
        "if (s)\n\t\t\t\treturn s;",
    ),
    change("rw: one's own cell counts", "seat == me ? NULL : hd_seat_of(a, seat)", "hd_seat_of(a, seat)"),
    change(
        "rw: no second look after closing",
        "\tatomic_fetch_or(word, HD_CLOSED); // from here on no reader gets in, passing or not\n\tother = reader_in(a, l, s->number);",
        "\tatomic_fetch_or(word, HD_CLOSED);\n\tother = NULL;",
    ),
    change("rw: granted without CLOSED", "\tatomic_fetch_or(word, HD_CLOSED); //", "\t//"),
    change(
        "rw: not granted, only claimed",
        "\t\tatomic_fetch_or(word, HD_GRANTED);\n\t\treturn NULL;",
        "\t\treturn NULL;",
    ),
    change(
        "rw: closed for ever when another thread is in the way",
        "\tatomic_fetch_and(word, ~HD_CLOSED);\n\tif (any_wants",
        "\tif (any_wants",
    ),
    change(
        "rw: passing readers are not called when it opens again",
        "\tif (any_wants(a, l))\n\t\tcall_readers(l); // those that pass\n",
        "",
    ),
    change(
        "rw: an upgrader counts cells while a writer gives",
        "if ((w & HD_GRANTED) && !hd_id_dead(a, w))",
        "if (0)",
    ),
    change(
        "rw: the doubt of a dead upgrader is not carried over",
        "\t\t\t\tatomic_fetch_or(word, HD_SUSPECT);",
        "\t\t\t\t(void)0;",
    ),
    change(
        "rw: a living upgrader is not waited for",
        "\t\t\tif (!hd_id_dead(a, u))\n\t\t\t\treturn hd_seat_of(a, u);",
        "",
    ),
    change(
        "rw: give lets no readers in",
        "if (atomic_compare_exchange_weak(&l->cells[i], &v, v ^ (wants | wants << 1)))",
        "if (1)",
    ),
    change("rw: give turns READING into nothing", "v ^ (wants | wants << 1)", "v & ~(wants | wants << 1)"),
    change(
        "rw: give forgets the doubt",
        "hd_word_give(&l->writer, &l->first, doubt ? HD_SUSPECT : 0);",
        "hd_word_give(&l->writer, &l->first, 0); (void)doubt;",
    ),
    change(
        "rw: give does not tell the upgrader",
        "if (atomic_load(&l->upgrader)) { // one of those",
        "if (0) { // one of those",
    ),
    change(
        "rw: no call to the readers after giving",
        "\tif (let_in || any_wants(a, l)) // the second look",
        "\tif (0) // the second look",
    ),
    change(
        "rw: no second look for readers after giving",
        "\tif (let_in || any_wants(a, l)) // the second look",
        "\tif (let_in) // the second look",
    ),
    change(
        "rw: leaving readers wake no thread",
        "\tif (atomic_load(&l->writer) || atomic_load(&l->upgrader)) {\n\t\tatomic_fetch_add(&l->drain, 1);",
        "\tif (0) {\n\t\tatomic_fetch_add(&l->drain, 1);",
    ),
    change(
        "rw: leaving readers move drain but wake no thread",
        "\t\tatomic_fetch_add(&l->drain, 1);\n\t\thd_wake(&l->drain, 0x7fffffff, ALL_BITS);\n\t}\n}\n\nstatic inline void call",
        "\t\tatomic_fetch_add(&l->drain, 1);\n\t}\n}\n\nstatic inline void call",
    ),
    change(
        "rw: phase does not move",
        "\tatomic_fetch_add(&l->phase, 1);\n\thd_wake(&l->phase",
        "\thd_wake(&l->phase",
    ),
    change(
        "rw: phase wakes one", "hd_wake(&l->phase, 0x7fffffff, ALL_BITS);", "hd_wake(&l->phase, 1, ALL_BITS);"
    ),
    change(
        "rw: what a dead one left in doubt is cleared away",
        "\tif (in_doubt(v))\n\t\treturn false;\n",
        "",
    ),
    change(
        "rw: what is cleared away calls no thread",
        "\t\t\thd_wake(where, 0x7fffffff, ALL_BITS);\n\t\tcall_readers(l);\n\t}\n\treturn true;",
        "\t\t\thd_wake(where, 0x7fffffff, ALL_BITS);\n\t}\n\treturn true;",
    ),
    change(
        "rw: the estate leaves the writer's word",
        "\twhile ((v & HD_ID_MASK) && (v & HD_SEAT_MASK) == seat)\n\t\tif (atomic",
        "\twhile (0)\n\t\tif (atomic",
    ),
    change(
        "rw: the estate forgets a dead writer",
        "&l->writer, &v, in_doubt(v) ? HD_SUSPECT : 0)",
        "&l->writer, &v, 0)",
    ),
    change(
        "rw: the estate forgets a dead upgrader",
        "&l->upgrader, &v, in_doubt(v) ? HD_SUSPECT : 0)",
        "&l->upgrader, &v, 0)",
    ),
    change(
        "rw: the estate leaves the cell",
        "\tcell_clear(l, seat);\n\tv = atomic_load(&l->first);",
        "\tv = atomic_load(&l->first);",
    ),
    change(
        "rw: a broken one is given out",
        "\tif (l->suspect == 2) {\n\t\tif (wrote)",
        "\tif (0) {\n\t\tif (wrote)",
    ),
    change(
        "rw: OwnerDied is not told",
        "h->owner_died = (atomic_load(&l->writer) & HD_SUSPECT) != 0;",
        "h->owner_died = 0;",
    ),
    change(
        "rw: OwnerDied and let go, not broken",
        "\t\t\tatomic_store(&l->suspect, 2); // not repaired",
        "\t\t\t(void)0; // not repaired",
    ),
    change(
        "rw: recover leaves the doubt in the word",
        "\tatomic_fetch_and(&l->writer, ~HD_SUSPECT);\n\th->owner_died = 0;",
        "\th->owner_died = 0;",
    ),
    change(
        "rw: recover leaves the mark in the row",
        "\tatomic_fetch_and(&l->writer, ~HD_SUSPECT);\n\th->owner_died = 0;",
        "\tatomic_fetch_and(&l->writer, ~HD_SUSPECT);",
    ),
    change(
        "rw: downgrade of what is in doubt",
        "\tif (h->owner_died)\n\t\treturn HD_OWNER_DIED; // first",
        "\tif (0)\n\t\treturn HD_OWNER_DIED; // first",
    ),
    change(
        "rw: downgrade gives before it reads",
        "\tcell_read(l, s->number);\n\thd_rw_give_writer(a, l, true);",
        "\thd_rw_give_writer(a, l, true);\n\tcell_read(l, s->number);",
    ),
    change(
        "rw: an upgraded one gives its cell first",
        "\t\tatomic_store(&l->upgrader, 0); // rule 3: before the cell\n\t\tcell_clear(l, s->number);",
        "\t\tcell_clear(l, s->number);\n\t\tatomic_store(&l->upgrader, 0);",
    ),
    change("rw: two upgrade at once", "\t\tif (!hd_id_dead(a, u))\n\t\t\treturn HD_BUSY;", ""),
    change("rw: upgrade of a double reader", "if (first && holds(s, hd_offset(a, l)) > 1)", "if (0)"),
    change(
        "rw: release of one of two readings clears the cell", "} else if (holds(s, self) == 1) {", "} else {"
    ),
    change(
        "rw: gives up and keeps its claim",
        "\tif (mine(s, &l->writer))\n\t\thd_rw_give_writer(a, l, false);\n\tif (mine(s, &l->upgrader))",
        "\tif (mine(s, &l->upgrader))",
    ),
    change(
        "rw: gives up and keeps its cell",
        "cell(l, s->number) != HD_NOT_READING) {\n\t\tcell_clear(l, s->number);\n\t\tleave_note(l);\n\t}\n\tstruct hd_held *h = hd_find_intent",
        "0) {\n\t}\n\tstruct hd_held *h = hd_find_intent",
    ),
    change(
        "rw: a failed try keeps its cell",
        "\t\t\tcell_clear(l, s->number); // it may say READING by now: then we give it back",
        "\t\t\t//",
    ),
)

LOCKS = (*WORDS, *MUTEX, *RWLOCK)
