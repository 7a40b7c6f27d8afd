"""Deliberate errors in the model of the read/write lock: does it see what it is for?"""

from collections.abc import Sequence

from ci.mutants.engine import Command, Mutant, Suite

FILE = "tests/native/rwmodel.c"


def wrong(name: str, configuration: str, *changes: tuple[str, str]) -> Mutant:
    (old, new), *more = changes
    return Mutant(f"{name} ({configuration})", FILE, old, new, also=tuple((FILE, o, n) for o, n in more))


MUTANTS = (
    wrong(
        "a reader does not look at the lock words after setting its cell",
        "RW 0 0 0",
        (
            "case R_SET: s.cell[t] = READS; s.ret[t] = 0; TO(R_BW);",
            "case R_SET: s.cell[t] = READS; TO(R_IN);",
        ),
    ),
    wrong(
        "a writer is granted without closing and looking again",
        "PW 0 0 0",
        (
            "s.upgrader |= C; else s.writer |= C; s.k[t] = 0; TO(C_SCAN2);",
            "s.upgrader |= C; else s.writer |= C; TO(C_GRANT);",
        ),
    ),
    wrong(
        "no second look for readers after giving",
        "RW 0 0 0",
        (
            "case G_LOOK: if (s.other[t]) TO(G_CALL); if",
            "case G_LOOK: if (s.other[t]) TO(G_CALL); s.k[t] = n; if",
        ),
    ),
    wrong(
        "a sleeping reader does not look again at what keeps it out",
        "RW 0 0 0",
        (
            "if ((s.v[t] & ID) && !dead(&s, s.v[t])) TO(R_RW);",
            "if ((s.v[t] & ID) && !dead(&s, s.v[t])) TO(R_SLEEP);",
        ),
    ),
    wrong(
        "an upgrader does not wait for the end of giving",
        "UUW 0 0 0",
        ("if ((v & G) && !dead", "if (0 && !dead"),
    ),
    wrong(
        "a reader looks at writer first, at upgrader afterwards",
        "PUW 1 0 1",
        (
            "case R_BW: v = s.upgrader; if (v && (prog[t] != 'P' || (v & (C | G | S)))) { s.v[t] = v; s.k[t] = 1;",
            "case R_BW: v = s.writer; if (v && (prog[t] != 'P' || (v & (C | G | S)))) { s.v[t] = v; s.k[t] = 0;",
        ),
        (
            "case R_BU: v = s.writer; if (v && (prog[t] != 'P' || (v & (C | G | S)))) { s.v[t] = v; s.k[t] = 0;",
            "case R_BU: v = s.upgrader; if (v && (prog[t] != 'P' || (v & (C | G | S)))) { s.v[t] = v; s.k[t] = 1;",
        ),
    ),
    wrong(
        "taking a dead writer's place forgets that it was inside",
        "WW 1 0 1",
        ("(DOUBT(v) || prog[t] == 'M') ? S : 0));", "0 ? S : 0));"),
    ),
    wrong(
        "the estate does not clear the cell", "RW 1 1 1", ("case E_CELL: s.cell[t] = NOT;", "case E_CELL: ;")
    ),
    wrong(
        "the estate leaves the dead one's id in the lock word (one generation only)",
        "WW 1 1 1",
        (
            "case E_W: v = s.writer; if ((v & ID) && thread_of(v) == t) s.writer = DOUBT(v) || (prog[t] == 'M') ? S : 0;",
            "case E_W:",
        ),
        ("s.gen[t]++;", ""),
    ),
    wrong(
        "a leaving reader does not tell the claimer",
        "RW 0 0 0",
        ("case X_N1: if (s.writer) TO(X_N3);", "case X_N1: TO(DONE);"),
    ),
    wrong(
        "a giver does not keep its id while it lets readers in",
        "RWW 0 0 0",
        ("case G_AND: s.writer &= (uint8_t)~C;", "case G_AND: s.writer = 0;"),
    ),
)


def tries(mutant: Mutant) -> Sequence[Command]:
    """Only the configuration that must fail; unchanged, all of those."""
    configurations = {
        m.name.rsplit("(", 1)[1].rstrip(")") for m in MUTANTS if mutant.name in {m.name, "unchanged"}
    }
    return [
        Command(f"rwmodel {words}", ("{root}/programs/rwmodel", *words.split()), 300)
        for words in sorted(configurations)
    ]


SUITE = Suite(
    name="models",
    mutants=MUTANTS,
    copy=("harness/locks/native", "tests/native"),
    tries=tries,
    build=(
        Command(
            "build",
            (
                "make",
                "-s",
                "-f",
                "tests/native/Makefile",
                "OUT={root}/programs",
                "WERROR=-w",
                "{root}/programs/rwmodel",
            ),
            120,
        ),
    ),
)
