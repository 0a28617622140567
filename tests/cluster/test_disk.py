"""Disks that are full, and quotas that are reached: a clear error, and room for the next query."""

import contextlib

import pytest

from disk import small_disk

# Several megabytes that can not be compressed go through the exchange.
PADS = """SELECT a.k, b.k AS other, max(encode(sha512(a.t || b.t), 'hex') || encode(sha512(b.t || a.t), 'hex') || encode(sha512(a.t), 'hex')) AS pad
          FROM facts a JOIN facts b ON a.k % 40 = b.k % 40 GROUP BY a.k, b.k"""
WIDE = f"SELECT count(*), min(pad) AS least FROM ({PADS})"
# They lie there for long enough to be measured.
SLOW = f"SELECT sum(levenshtein(left(pad, 100), right(pad, 100))) FROM ({PADS})"
SMALL = "SELECT v % 3 AS g, count(*) FROM facts GROUP BY v % 3 ORDER BY g"
SIZE = "1m"


def told_of(outcome, *words: str):
    """A query that needs more room than there is fails, and says what is full."""
    assert not outcome.answered, "the query found room"
    detail = outcome.problem["detail"].lower()
    assert any(word in detail for word in words), outcome.problem
    assert outcome.problem["status"] != 500 if "status" in outcome.problem else outcome.problem["code"] != "INTERNAL"


def test_a_full_disk_is_named_and_emptied(cluster, tmp_path):
    with contextlib.ExitStack() as disks:
        made = cluster(workers=0)
        expected, small = made.local(WIDE), made.local(SMALL)
        for number in range(2):
            made.start_worker(work_dir=disks.enter_context(small_disk(tmp_path / f"disk-{number}", SIZE)) / "work")
        told_of(made.ask(WIDE).outcome(), "space", "disk", "full")
        made.at_rest()
        # The same workers, with the room that they have again.
        assert made.rows(SMALL) == small
        # Nobody takes a full disk for a worker that is gone.
        made.wait_for_workers(active=made.workers)
        made.start_worker()
        assert expected == made.local(WIDE)
        for worker in made.workers:
            worker.stop()


@pytest.mark.parametrize(
    ("quota", "sql"),
    [("256KiB", SLOW), pytest.param("1MiB", SLOW, marks=pytest.mark.soak), ("100KiB", WIDE)],
    ids=["while it runs", "while it runs, larger", "at the end of a task"],
)
def test_the_quota_of_the_work_directory(cluster, quota, sql):
    made = cluster(workers=2, worker=("--set", f"worker.work_dir_quota={quota}"))
    told_of(made.ask(sql).outcome(), "worker.work_dir_quota")
    made.at_rest()
    assert made.rows(SMALL) == made.local(SMALL)
    made.wait_for_workers(active=made.workers)
    made.at_rest()


@pytest.mark.soak
def test_room_enough(cluster):
    """The other half: the query that found no room is an ordinary one."""
    made = cluster(workers=2, worker=("--set", "worker.work_dir_quota=1GiB"))
    assert made.rows(WIDE) == made.local(WIDE)
    made.at_rest()
