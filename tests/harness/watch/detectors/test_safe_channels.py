"""Channels and claims that are used rightly: they too may never produce a verdict."""

import os

from tests.harness.watch.looking import assert_nothing_found, busy, me

ROUNDS = 400


def test_two_that_play_ping_pong_over_a_channel(arena, actors, strict, cell):
    guard, chan = arena.mutex("guard"), arena.channel("ball")

    def player(mine):
        def body(actor):
            me(arena, f"player#{mine}")
            for _ in range(ROUNDS):
                with guard:
                    chan.wait(guard, "ball", (cell, "count", mine))
                    cell.count = 1 - mine
                    chan.wakeup()
            actor.hear("stop")

        return body

    assert_nothing_found(strict, [actors.actor(player(0)), actors.actor(player(1))])


def test_a_counting_semaphore_made_of_sleep_and_wakeup(arena, actors, strict, cell):
    guard, chan = arena.mutex("guard"), arena.channel("units")
    cell.count = 2

    def use():
        with guard:
            chan.wait(guard, "unit", (cell, "count", ">", 0))
            cell.count -= 1
        os.sched_yield()
        with guard:
            cell.count += 1
            chan.wakeup()

    assert_nothing_found(strict, [actors.actor(busy(arena, f"user#{i}", use)) for i in range(5)])


def test_claims_that_are_given_back_in_time(arena, actors, strict, cell):
    guard, chan = arena.mutex("guard"), arena.channel("page")
    address = cell.address

    def use():
        with guard:
            chan.wait(guard, "page", (cell, "busy", 0))
            cell.busy = 1
            arena.native.claim(address)
        os.sched_yield()
        with guard:
            cell.busy = 0
            arena.native.unclaim(address)
            chan.wakeup()

    assert_nothing_found(strict, [actors.actor(busy(arena, f"user#{i}", use)) for i in range(4)])
