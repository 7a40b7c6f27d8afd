// Channels: BSD sleep/wakeup.  A sleeper keeps the value of seq that it saw under
// the lock that guards its predicate (its intent); a wakeup moves seq.  There is no
// list of sleepers, so a killed one leaves nothing behind.

#include "lockcore.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

static void futex_wake(_Atomic uint32_t *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

// True when the slice or the deadline ended, or a signal came; false when woken.
static bool futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t until)
{
	struct timespec t = {(time_t)(until / 1000000000ull), (long)(until % 1000000000ull)};
	long r = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected, &t, NULL, FUTEX_BITSET_MATCH_ANY);
	return r < 0 && (errno == ETIMEDOUT || errno == EINTR);
}

void hd_channel_init(struct hd_channel *c, uint16_t class_id, uint32_t instance)
{
	// seq and word are not reset: a late sleeper of the record's old life must
	// not take the new one's state for its own.
	c->class_id = class_id;
	c->kind = HD_CHANNEL;
	c->instance = instance;
}

// `singles` is what the sleeper saw when it went to sleep: with nothing posted since, a
// token that lies there is meant for somebody who slept before.
static bool take_token(struct hd_channel *c, uint32_t singles)
{
	if (atomic_load(&c->singles) == singles)
		return false;
	uint32_t n = atomic_load(&c->tokens);
	while (n)
		if (atomic_compare_exchange_weak(&c->tokens, &n, n - 1))
			return true;
	return false;
}

// One slice of a sleep.  The caller has published its wait and stays registered in
// `waiters` for this call only: between slices a wakeup is seen by seq anyway, and
// a single wakeup is left as a token.
enum hd_status hd_channel_wait(struct hd_arena *a, struct hd_seat *s, struct hd_channel *c, uint32_t intent, uint32_t singles, uint64_t deadline)
{
	(void)a;
	(void)s;
	uint64_t now = hd_precise_now(), until = now + HD_SLICE_NS;
	if (deadline && deadline < until)
		until = deadline;
	enum hd_status status = HD_INTERRUPTED;
	for (;;) {
		uint32_t word = atomic_load(&c->word);
		if (atomic_load(&c->seq) != intent || take_token(c, singles)) {
			status = HD_OK;
			break;
		}
		if (deadline && hd_precise_now() >= deadline) {
			status = HD_TIMED_OUT;
			break;
		}
		if (futex_wait(&c->word, word, until)) {
			bool woken = atomic_load(&c->seq) != intent || take_token(c, singles);
			status = woken ? HD_OK : deadline && hd_precise_now() >= deadline ? HD_TIMED_OUT : HD_INTERRUPTED;
			break;
		}
	}
	return status;
}

void hd_channel_wake(struct hd_arena *a, struct hd_seat *s, struct hd_channel *c, uint32_t site, bool all)
{
	(void)a;
	atomic_store(&c->last_waker, s ? s->number : 0);
	atomic_store(&c->last_site, site);
	atomic_store(&c->last_wake, hd_precise_now()); // before or after a sleep began?
	if (all) {
		atomic_fetch_add(&c->seq, 1);
		atomic_store(&c->tokens, 0);
	} else {
		if (!atomic_load(&c->waiters))
			return; // nobody sleeps: not remembered
		atomic_fetch_add(&c->tokens, 1);
		atomic_fetch_add(&c->singles, 1);
	}
	atomic_fetch_add(&c->word, 1);
	if (atomic_load(&c->waiters))
		futex_wake(&c->word, all ? 0x7fffffff : 1);
}
