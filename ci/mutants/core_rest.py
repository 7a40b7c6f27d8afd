"""Mutants of seats, channels, reports, the order graph and the segment."""

from ci.mutants.core_locks import change, drop
from ci.mutants.engine import Mutant

SEATS = (
    change("seat: alive although the kernel says it died", " && !(life & FUTEX_OWNER_DIED) &&", " &&"),
    change("seat: alive while it is being taken", "return !(generation & 1) && tid &&", "return tid &&"),
    change(
        "seat: alive whichever thread has it",
        "(life & FUTEX_TID_MASK) == tid",
        "(life & FUTEX_TID_MASK) != 0",
    ),
    Mutant(
        "seat: ids without a generation",
        "harness/locks/native/seat.c",
        "(generation >> 1 << 9 | s->number)",
        "(0 * generation | s->number)",
    ),
    change(
        "seat: an id of the one before is alive",
        "id_of(s, generation) != (id & HD_ID_MASK) || !hd_seat_alive(s)",
        "!hd_seat_alive(s)",
    ),
    change(
        "seat: a generation is not begun",
        "uint32_t generation = atomic_fetch_or(&s->generation, 1) | 1;",
        "uint32_t generation = atomic_load(&s->generation) | 1;",
    ),
    drop("seat: the estate is not settled", "\tsettle_estate(a, s);\n"),
    change(
        "seat: intents are no part of the estate",
        "\t\tif (!lock)\n\t\t\tcontinue;\n\t\tuint8_t kind",
        "\t\tif (!lock || (s->held[i].kind & HD_INTENT))\n\t\t\tcontinue;\n\t\tuint8_t kind",
    ),
    change(
        "seat: the rows go before the locks are settled",
        "\t\tuint8_t kind = s->held[i].kind & ~HD_INTENT;\n",
        "\t\tuint8_t kind = s->held[i].kind & ~HD_INTENT;\n\t\tatomic_store(&s->held[i].lock, 0);\n",
    ),
    change(
        "seat: the estate forgets read/write locks",
        "else if ((kind == HD_READ || kind == HD_WRITE) &&",
        "else if (0 &&",
    ),
    change(
        "seat: the estate forgets channels",
        "if (channel && hd_fits(a, channel",
        "if (0 && hd_fits(a, channel",
    ),
    change(
        "seat: EOWNERDEAD is not made consistent", "\t\tpthread_mutex_consistent(&s->life);", "\t\t(void)0;"
    ),
    change(
        "seat: EOWNERDEAD is refused",
        "\tif (err == EOWNERDEAD)\n\t\tpthread_mutex_consistent(&s->life);\n\telse if (err)",
        "\tif (err)",
    ),
    drop("seat: the tid is not written", "\tatomic_store(&s->tid, (uint32_t)gettid());\n"),
    change(
        "seat: published before the tid",
        "\tatomic_store(&s->tid, (uint32_t)gettid());\n\ts->id = id_of(s, generation + 1);\n\tatomic_store(&s->generation, generation + 1);",
        "\ts->id = id_of(s, generation + 1);\n\tatomic_store(&s->generation, generation + 1);\n\tatomic_store(&s->tid, (uint32_t)gettid());",
    ),
    change(
        "seat: given back without ending the generation",
        "\tatomic_fetch_or(&s->generation, 1); // from here on its id names no living thread\n",
        "",
    ),
    change(
        "seat: a thread's end gives back what holds locks",
        "\t\tif (!holds_anything(mine.rows[i].seat)) {",
        "\t\tif (1) {",
    ),
    change(
        "seat: leave although it holds",
        "\tif (holds_anything(s))\n\t\treturn false;\n\tfor",
        "\tfor",
    ),
    change("seat: not counted when it leaves", "\tgive_back(s);\n\tcount_seated(a, -1);", "\tgive_back(s);"),
    change("seat: the evidence is used up first", "(pass == 1 && holds_anything(&seats[i]))", "0"),
    change(
        "seat: seats of the dead are never used again",
        "for (int pass = 0; pass < 3; pass++)",
        "for (int pass = 0; pass < 1; pass++)",
    ),
    change(
        "seat: the child of a fork keeps its parent's",
        "\tmemset(&mine, 0, sizeof mine); // the rows leak: one small block per fork\n\tmemset(&hd_tls, 0, sizeof hd_tls);\n",
        "",
    ),
    change(
        "row: published before it is written",
        "\th->since = hd_now();\n\th->site = site;\n\th->class_id = class_id;\n\th->kind = kind;",
        "\tatomic_store_explicit(&h->lock, lock, memory_order_release);\n\th->since = hd_now();\n\th->site = site;\n\th->class_id = class_id;\n\th->kind = kind;",
    ),
    change(
        "row: the middle is not used again",
        "for (at = 0; at < HD_MAX_HELD && s->held[at].lock; at++)\n\t\t\t;",
        "at = HD_MAX_HELD;",
    ),
    change(
        "row: intents count as held",
        "if (s->held[i].lock == lock && !(s->held[i].kind & HD_INTENT))\n\t\t\treturn",
        "if (s->held[i].lock == lock)\n\t\t\treturn",
    ),
    change("row: pop forgets the mask", "\ts->held_mask = mask;\n", ""),
    change(
        "row: pop of the last leaves the mask",
        "\t\ts->held_mask = 0;\n\t\tatomic_store_explicit(&s->depth, 0",
        "\t\tatomic_store_explicit(&s->depth, 0",
    ),
    change(
        "wait: its end does not move wait_seq",
        "\ts->wait_message = 0;\n\tatomic_fetch_add(&s->wait_seq, 1);",
        "\ts->wait_message = 0;",
    ),
    change(
        "wait: restored although nothing has waited",
        "\tif (s->wait_seq == w->seq)\n\t\treturn; // nothing has waited\n",
        "",
    ),
    change("wait: restored without the guard", "\ts->wait_guard = w->guard;\n", ""),
    change(
        "wait: wait_seq goes back with the seat",
        "\tatomic_store(&s->wait_seq, wait_seq + 2);\n",
        "\t(void)wait_seq;\n",
    ),
)

CHANNELS = (
    change(
        "channel: registered after looking at seq",
        "\t\t\tatomic_fetch_or(list_of(c, s->number), bit_of(s->number));\n\t\t\treturn atomic_load(&c->seq) == intent ? HD_OK : HD_BUSY;",
        "\t\t\tenum hd_status status = atomic_load(&c->seq) == intent ? HD_OK : HD_BUSY;\n\t\t\tatomic_fetch_or(list_of(c, s->number), bit_of(s->number));\n\t\t\treturn status;",
    ),
    change(
        "channel: seq is not looked at",
        "return atomic_load(&c->seq) == intent ? HD_OK : HD_BUSY;",
        "return HD_OK + 0 * (int)intent;",
    ),
    change(
        "channel: the list is looked at before the word",
        "\t\tuint32_t word = atomic_load(&c->word);\n\t\tif (!on_list(c, s))\n\t\t\treturn HD_OK;",
        "\t\tif (!on_list(c, s))\n\t\t\treturn HD_OK;\n\t\tuint32_t word = atomic_load(&c->word);",
    ),
    drop("channel: seq does not move", "\tatomic_fetch_add(&c->seq, 1);\n"),
    change(
        "channel: wakeup does not move word",
        "\t\t\tatomic_fetch_add(&c->word, 1);\n\t\t\thd_wake(&c->word, 0x7fffffff, ~0u);",
        "\t\t\thd_wake(&c->word, 0x7fffffff, ~0u);",
    ),
    change("channel: wakeup wakes one", "hd_wake(&c->word, 0x7fffffff, ~0u);", "hd_wake(&c->word, 1, ~0u);"),
    change("channel: wakeup wakes no thread", "\t\t\thd_wake(&c->word, 0x7fffffff, ~0u);\n", ""),
    change(
        "channel: wakeup_one wakes no thread",
        "\t\thd_wake(&c->word, 0x7fffffff, futex_bits(i + 1)); // and",
        "\t\t// and",
    ),
    change(
        "channel: wakeup_one does not move word",
        "\t\tatomic_fetch_add(&c->word, 1);\n\t\thd_wake(&c->word, 0x7fffffff, futex_bits",
        "\t\thd_wake(&c->word, 0x7fffffff, futex_bits",
    ),
    change("channel: wakeup_one takes a dead one", "\t\tif (!hd_seat_alive(s))\n\t\t\tcontinue;", ""),
    change(
        "channel: wakeup_one wakes all on the list",
        "\t\tatomic_store(&c->turn, i + 1);\n\t\tatomic_fetch_add(&c->word, 1);\n\t\thd_wake(&c->word, 0x7fffffff, futex_bits(i + 1)); // and the few that share the bit; those sleep on\n\t\treturn true;",
        "\t\tatomic_store(&c->turn, i + 1);\n\t\tatomic_fetch_add(&c->word, 1);\n\t\thd_wake(&c->word, 0x7fffffff, futex_bits(i + 1));",
    ),
    change("channel: wakeup_one begins at the first each time", "\t\tatomic_store(&c->turn, i + 1);\n", ""),
    change("channel: wakeup_one does not go round", "\t\twake_one_of(a, c, 0, start);", "\t\t(void)0;"),
    change(
        "channel: the inner sleep takes the outer one's bit",
        "\tif (others) // the outer",
        "\tif (0) // the outer",
    ),
    change(
        "channel: unregister leaves the bit",
        "!(atomic_fetch_and(list_of(c, s->number), ~bit_of(s->number)) & bit_of(s->number))",
        "!(atomic_load(list_of(c, s->number)) & bit_of(s->number))",
    ),
    change(
        "channel: the estate leaves the bit",
        "\tatomic_fetch_and(list_of(c, seat), ~bit_of(seat));",
        "\t(void)c, (void)seat;",
    ),
)

REPORTS = (
    change(
        "report: published before it is written",
        "\tr->kind = kind;\n\tr->seat",
        "\tatomic_store(&r->state, number + 1);\n\tr->kind = kind;\n\tr->seat",
    ),
    change("report: an old row is not taken back first", "\tatomic_store(&r->state, 0);\n", ""),
    change("report: acked of the one before stays", "\tatomic_store(&r->acked, 0);\n", ""),
    change(
        "report: its number is not its own",
        "atomic_store(&r->state, number + 1);",
        "atomic_store(&r->state, 1);",
    ),
    change(
        "order: known before it is reported",
        "\tviolation(a, s, HD_REPORT_ORDER, h, t, why);\n\tatomic_fetch_or(&e->flags, HD_EDGE_TOLD);",
        "\tatomic_fetch_or(&e->flags, HD_EDGE_TOLD);\n\tviolation(a, s, HD_REPORT_ORDER, h, t, why);",
    ),
    change(
        "order: out of the graph before it is reported",
        "\tatomic_fetch_or(&e->flags, HD_EDGE_BAD);\n\tviolation",
        "\tatomic_fetch_or(&e->flags, HD_EDGE_BAD);\n\tif (graph)\n\t\tatomic_fetch_and(graph, ~(1ull << h->class_id));\n\tviolation",
    ),
    change(
        "order: a first writer passes what is bad and not told",
        "(atomic_load(&e->flags) & HD_EDGE_TOLD) ||",
        "(atomic_load(&e->flags) & (HD_EDGE_TOLD | HD_EDGE_BAD)) ||",
    ),
    change(
        "order: searched before it is tried",
        "\t\tif (!(atomic_load(&e->flags) & HD_EDGE_BAD))\n\t\t\tatomic_fetch_or(&tried[t->class_id], 1ull << from);\n\t\tstatus = look_for_cycle(a, s, e, h, t, &tried[t->class_id]);",
        "\t\tstatus = look_for_cycle(a, s, e, h, t, &tried[t->class_id]);\n\t\tif (!(atomic_load(&e->flags) & HD_EDGE_BAD))\n\t\t\tatomic_fetch_or(&tried[t->class_id], 1ull << from);",
    ),
    change(
        "order: searched among the known only",
        "const _Atomic uint64_t *tried = hd_at(q->a, q->a->tried);",
        "const _Atomic uint64_t *tried = hd_at(q->a, q->a->order);",
    ),
    change(
        "order: cycles through others are not followed",
        "todo = (todo | atomic_load(&tried[c])) & ~seen;",
        "todo &= ~seen;",
    ),
    change(
        "order: rank is not looked at",
        "if (above && below && above >= below) {",
        "if (0 && above && below) {",
    ),
    drop(
        "order: an edge is not shown",
        "\tatomic_fetch_or(&order[t->class_id], 1ull << from); // what a dump shows\n",
    ),
    drop("order: the whole is searched each time", "\t\t*checked = x;\n"),
    change("order: intents count", "return h->lock && !(h->kind & HD_INTENT); }", "return h->lock; }"),
    change(
        "order: a bad edge accuses others",
        "\t\tatomic_fetch_and(graph, ~(1ull << hd_class_of(h->class_id)));",
        "\t\t(void)0;",
    ),
    change(
        "order: gates are no excuse",
        "\t\t\tif (one >> 3 && one >> 3 == two >> 3",
        "\t\t\tif (0 && one >> 3 == two >> 3",
    ),
    change("order: what is shared is a gate", "&& !(one & two & HD_SHARED))", ")"),
    change("order: one thread is two", "\t\t\tfree &= taken[k] != id;", "\t\t\t(void)taken;"),
    change("order: timed waits close circles", "} else if (t->timed) {", "} else if (0) {"),
    change(
        "order: a pair of one class is known before it is reported",
        "\t\tif (!known)\n\t\t\tviolation",
        "\t\te->from_site = h->site, e->to_site = t->site;\n\t\tif (!known)\n\t\t\tviolation",
    ),
    change(
        "order: a pair of one class is reported each time",
        "\t\tif (!known)\n\t\t\tviolation",
        "\t\tif (1 || known)\n\t\t\tviolation",
    ),
    change("order: asleep with a lock is fine", "h->lock == except || (classes", "1 || (classes"),
    change(
        "names: a slot is published before it is filled",
        "\t\t\tt->hash = h;\n\t\t\tstrncpy(t->text",
        "\t\t\tatomic_store(&t->state, 2);\n\t\t\tt->hash = h;\n\t\t\tstrncpy(t->text",
    ),
    change(
        "sites: a slot of one that died is waited for",
        "\tfor (int i = 0; i < 10000; i++)\n\t\tif (atomic_load(state) == 2)",
        "\tfor (;;)\n\t\tif (atomic_load(state) == 2)",
    ),
    change(
        "attach: tables may lie anywhere",
        "memcmp(&a->seats, &want.seats, offsetof(struct hd_arena, instances) + 8 - offsetof(struct hd_arena, seats))",
        "0",
    ),
    change("attach: a seat's number is believed", "if (s[i].number != i + 1 || s[i].life", "if (s[i].life"),
)

REST = (*SEATS, *CHANNELS, *REPORTS)
