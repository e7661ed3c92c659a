"""Every shard is done once, by one worker at a time, and no venue waits for another."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from heliograph.ingest.dispatch import AHEAD_S, Dispatch
from heliograph.ingest.plan import Lane

FAST: Lane = ("binance", "spot")
SLOW: Lane = ("kraken", "spot")


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    rates=st.lists(st.floats(0.1, 30), min_size=4, max_size=4),
    per_worker=st.integers(1, 6),
    moves=st.lists(
        st.tuples(st.sampled_from(["join", "leave", "finish", "finish"]), st.integers(0, 10**6)), max_size=200
    ),
)
def test_every_shard_is_finished_once_however_workers_come_and_go(counts, rates, per_worker, moves) -> None:
    dispatch = Dispatch(per_worker)
    lanes: list[Lane] = [(f"v{n}", "spot") for n in range(len(counts))]
    of, total = {}, 0
    for lane, count, rate in zip(lanes, counts, rates, strict=False):
        dispatch.add(lane, range(total, total + count), pages_per_s=rate)
        of |= dict.fromkeys(range(total, total + count), lane)
        total += count
    held: dict[str, set[int]] = {}
    finished: Counter[int] = Counter()
    names = iter(f"w{n}" for n in range(10_000))

    def send() -> None:
        for worker, shard in dispatch.sends():
            assert not any(shard in shards for shards in held.values())
            held[worker].add(shard)
            assert sum(of[s] == of[shard] for s in held[worker]) <= per_worker

    def move(kind: str, pick: int) -> None:
        busy = [w for w, shards in held.items() if shards]
        if kind == "join":
            name = next(names)
            held[name] = set()
            dispatch.join(name, f"address{pick % 2}")
        elif kind == "leave" and held:
            name = sorted(held)[pick % len(held)]
            assert dispatch.leave(name) == sorted(held.pop(name))
            assert dispatch.leave(name) is None
            assert not dispatch.finish(name, 0)
        elif kind == "finish" and busy:
            name = busy[pick % len(busy)]
            shard = held[name].pop()
            assert dispatch.finish(name, shard)
            finished[shard] += 1
        send()

    for step in moves:
        move(*step)
    move("join", 0)
    while any(held.values()):
        move("finish", 0)
    assert finished == Counter(range(total))
    assert dispatch.is_idle


def test_one_address_has_no_more_under_way_than_its_limit_needs() -> None:
    dispatch = Dispatch(per_worker=8)
    dispatch.add(SLOW, range(100), pages_per_s=1.0)
    dispatch.add(FAST, range(100, 300), pages_per_s=50.0)
    for n in range(16):
        dispatch.join(f"w{n}", "here")
    sent = Counter(shard < 100 for _, shard in dispatch.sends())
    assert sent == {True: round(AHEAD_S), False: 100}
    dispatch.join("w16", "elsewhere")
    assert Counter(shard < 100 for _, shard in dispatch.sends()) == {True: round(AHEAD_S), False: 8}


def test_work_of_one_lane_is_spread_over_the_workers() -> None:
    dispatch = Dispatch(per_worker=8)
    for n in range(4):
        dispatch.join(f"w{n}", "here")
    dispatch.add(FAST, range(100), pages_per_s=4.0)
    assert Counter(worker for worker, _ in dispatch.sends()) == {f"w{n}": 2 for n in range(4)}


def test_what_a_lost_worker_had_goes_out_first() -> None:
    dispatch = Dispatch(per_worker=4)
    dispatch.add(FAST, range(20), pages_per_s=9.0)
    dispatch.join("a", "here")
    assert [shard for _, shard in dispatch.sends()] == [0, 1, 2, 3]
    dispatch.finish("a", 1)
    assert dispatch.leave("a") == [0, 2, 3]
    dispatch.drop(2)
    dispatch.join("b", "here")
    assert [shard for _, shard in dispatch.sends()] == [0, 3, 4, 5]
