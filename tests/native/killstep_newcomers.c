// killstep: what those that come after the kill find, and whether that is right.
//
// They sit down one after the other and stay seated, so that they need every seat there
// is, the dead one's included.  Each takes every lock, repairs what it is told of, and
// gives it back.  Right is: OK; OWNER_DIED once per lock; BROKEN only where it was let go
// unrepaired, or broken before.  Anything else, and any hang, is wrong.
#include "killstep.h"

#include <stdio.h>
#include <unistd.h>

int newcomer_limit_ms = 10000, newcomer_count = NEWCOMERS;

static void note_time(uint64_t began)
{
	uint64_t took = hd_precise_now() - began;
	if (took > record->slowest)
		record->slowest = took;
}

static void take_everything(struct hd_seat *s, int *status)
{
	struct hd_mutex *mutexes[2] = {m, m2};
	for (int i = 0; i < 4; i++) {
		uint64_t began = hd_precise_now();
		enum hd_status got = i < 2 ? acquire(mutexes[i], newcomer_limit_ms) : enter(i == 2 ? HD_READ : HD_WRITE, false, newcomer_limit_ms);
		note_time(began);
		status[i] = got;
		if (got == HD_OWNER_DIED && (i < 2 ? hd_mutex_recover(s, mutexes[i]) : hd_rw_recover(s, arena, l)) != HD_OK)
			status[i] = HD_NOT_OWNER; // what it has just been given is not its own
		if (in_lock(got) && (i < 2 ? hd_mutex_release(arena, s, mutexes[i]) : hd_rw_release(arena, s, l)) != HD_OK)
			status[i] = HD_NOT_OWNER;
	}
}

static int at; // of the newcomers

void newcomers(void)
{
	struct hd_seat *s = hd_sit(arena, "newcomer");
	record->sat[at] = s != NULL;
	if (s) {
		record->holds[at] = (m->owner & HD_ID_MASK) == s->id || (l->writer & HD_ID_MASK) == s->id || hd_find_held(s, hd_offset(arena, m)) ||
				    hd_find_held(s, hd_offset(arena, l));
		take_everything(s, record->status[at]);
	}
	if (++at < newcomer_count)
		_exit(finish(start(newcomers)));
}

static const char *const names[] = {"OK", "OWNER_DIED", "TIMED_OUT", "BUSY", "SELF_DEADLOCK", "NOT_OWNER", "BROKEN", "FULL", "ORDER", "INTERRUPTED", "SYSTEM"};
static const char *const locks[] = {"m", "m2", "rw", "rw"};

// One newcomer at one lock; died counts the OWNER_DIED of each lock.
static bool fits(const struct operation *operation, int status, int which, int *died)
{
	unsigned bit = which == 0 ? ON_M : which == 1 ? ON_M2 : ON_RW;
	if (status == HD_BROKEN)
		return (operation->broken & bit) && (operation->broken_before || record->let_go);
	died[which < 2 ? which : 2] += status == HD_OWNER_DIED;
	return status == HD_OK || status == HD_OWNER_DIED;
}

bool judge(const struct operation *operation, char *why, size_t room)
{
	int died[3] = {0};
	for (int i = 0; i < newcomer_count; i++) {
		if (!record->sat[i] || record->holds[i]) {
			snprintf(why, room, "newcomer %d %s", i, record->sat[i] ? "holds what it never took" : "has no seat");
			return false;
		}
		for (int k = 0; k < 4; k++)
			if (!fits(operation, record->status[i][k], k, died)) {
				snprintf(why, room, "newcomer %d at %s: %s", i, locks[k], names[record->status[i][k]]);
				return false;
			}
	}
	for (int k = 0; k < 3; k++) {
		bool sure = (operation->told >> k & 1) && !record->repaired && !record->let_go;
		bool never = operation->broken_before && (operation->broken >> k & 1);
		if (died[k] > (never ? 0 : 1) || (sure && died[k] != 1)) {
			snprintf(why, room, "%s: told %d times", locks[k], died[k]);
			return false;
		}
	}
	return true;
}

bool judge_stopped(void) // the one that is stopped may hold things: then the time limit ends the wait
{
	bool right = record->sat[0] && !record->holds[0];
	for (int k = 0; k < 4; k++) {
		int status = record->status[0][k];
		right &= status == HD_OK || status == HD_OWNER_DIED || status == HD_TIMED_OUT || status == HD_BROKEN;
	}
	return right;
}
