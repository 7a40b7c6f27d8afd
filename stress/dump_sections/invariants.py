"""The invariants in words: what a dump that names one by its letter and number says about it.

docs/reference, section 6, has the exact texts; these say what each promises, and which kind of
mistake breaks it, for a reader who has only the dump.
"""

from collections.abc import Iterable

RULES = {  # letter and number: (what must hold, what kind of mistake breaks it)
    "A1": (
        "a reference count is never below zero nor below the number of shadows; a dying object has none",
        "a reference is given up twice, or is taken after the object was given up",
    ),
    "A2": (
        "an object's page list, its page count and the page hash name the same pages",
        "a page was put in or taken out without the object's lock, or in one of the places only",
    ),
    "A3": (
        "a page's queue flag and its queue agree; wired, fictitious and free pages are on no paging queue",
        "a page was put on a queue, or left off it, by a thread that did not look at what it is",
    ),
    "A4": (
        "a busy page has an owner, counts as paging, and is on no queue unless it is being written",
        "a page is owned while the daemon can still find it: both would work on it",
    ),
    "A5": (
        "paging_in_progress counts the threads and writes at work on the object, and nothing else",
        "the count was raised or lowered twice, or at another object than the one worked on",
    ),
    "A6": (
        "an object is in the list of shadows of the object that it shadows; no chain is a circle",
        "a shadow link was changed at one end only",
    ),
    "A7": (
        "an object's copy object shadows it, is alive, and both are of one size",
        "a copy link was left behind, or set beside another change of the chain",
    ),
    "A8": (
        "on the cached list are exactly the objects without references that may persist and are hashed",
        "the cache was changed without its lock, or a cached object was referenced beside it",
    ),
    "A9": (
        "a pager serves one object, a file has one pager, and the hash finds exactly the named ones",
        "two made the same thing at once, or one was hashed or unhashed at the wrong moment",
    ),
    "A10": (
        "an object that collapses and the one that it absorbs are marked; the latter has no other user",
        "an object was collapsed twice, or an object that was fading got a new user",
    ),
    "A11": (
        "a swap block belongs to one page of one pager; free blocks are not being written",
        "a block was freed while its write was under way, or was given to two",
    ),
    "A12": (
        "a page that is clean has the contents of its copy in the pager",
        "the page was called clean although it was stored to, or the write wrote something else",
    ),
    "A13": (
        "a mapping may be written only if its entry may, and only a page that no copy still needs",
        "write permission was not taken away when the page became shared, or was given too early",
    ),
    "A14": (
        "each frame's list of mappings is what the maps say; a free or fake page has none",
        "a frame was given back, or a mapping made, without the other being told",
    ),
    "A16": (
        "no link leads to a record that was freed",
        "a link was not cleared when its record went, or the record went although a link to it was left",
    ),
    "Q1": (
        "at rest an object's reference count is the number of entries and shadows that name it",
        "a reference was taken and never given back, or the other way round",
    ),
    "Q2": (
        "at rest every object can be reached from a map, or is cached",
        "an object was left behind: nothing names it, and nothing freed it",
    ),
    "Q3": (
        "at rest nothing is under way: no paging count, no mark, no busy page",
        "a thread went on without undoing its mark",
    ),
    "Q4": (
        "at rest every page in memory is on one paging queue or wired, and the frames add up",
        "a page was taken off its queue and not put back: the daemon can never free it",
    ),
    "Q5": (
        "at rest the counters are what can be counted",
        "a counter was changed without its lock, or not on every way",
    ),
    "Q6": (
        "swap in use belongs to live objects, and when all have gone nothing is left",
        "an object's last user went, and what the object had was not given back",
    ),
    "Q7": (
        "at rest a cached object has no reference, no shadow and no entry",
        "an object was taken from the cache, and is still in it",
    ),
    "Q8": (
        "at rest a page is wired as often as wired entries map it, and every page of those is mapped",
        "wiring a range failed in the middle and was not undone, or was undone twice",
    ),
    "Q9": (
        "after a sweep no two objects are left that could be one",
        "a collapse that was allowed did not happen: chains grow, and hide memory",
    ),
    "Q10": (
        "after a sweep pages that no thread can see lie only where several users keep them",
        "pages were left behind by a collapse: memory that nothing can reach is lost",
    ),
    "Q12": ("at rest no thread sleeps", "a wakeup was forgotten"),
    "Q13": (
        "at rest no write is listed, no record of one is missing, and no page waits to be written",
        "a write ended, and the thread that should have taken it off the list did not",
    ),
}  # fmt: skip


def told(broken: Iterable[str]) -> list[str]:
    """These rules, as far as they have words, with what breaks them."""
    return [
        line
        for code in broken
        if code in RULES
        for line in (f"{code}: {RULES[code][0]}", f"  broken when {RULES[code][1]}")
    ]
