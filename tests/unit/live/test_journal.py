"""One writer, a chain of hashes, and rows that survive."""

from __future__ import annotations

import os
import signal
import sqlite3

import pytest
from tests.unit.trading.makes import accepted, candle, fill, order

from heliograph.core.errors import ConfigError, InvariantBroken
from heliograph.core.ports import Journal
from heliograph.live.journal import SqliteJournal, read

INTENT = order()
ROWS = [candle(0, 100.1), INTENT, accepted(INTENT), fill(INTENT), candle(1, 99.0)]


@pytest.fixture
def path(tmp_path):
    with SqliteJournal(tmp_path / "run" / "journal.sqlite", account="a") as journal:
        for row in ROWS:
            journal.append(row, durable=False)
    return tmp_path / "run" / "journal.sqlite"


def test_it_is_a_journal(path):
    with SqliteJournal(path, account="a") as journal:
        port: Journal = journal
        assert list(port.replay()) == ROWS


def test_it_goes_on_where_it_ended(path):
    with SqliteJournal(path, account="a") as journal:
        assert journal.append(ROWS[0], durable=True) == len(ROWS) + 1
        assert list(journal.replay()) == [*ROWS, ROWS[0]]


def test_second_writer_is_refused_and_the_first_goes_on(path):
    with SqliteJournal(path, account="a") as journal:
        with pytest.raises(ConfigError, match="written by another process"):
            SqliteJournal(path, account="a")
        journal.append(ROWS[0], durable=True)
    SqliteJournal(path, account="a").close()


def test_reader_needs_no_lock_and_sees_what_is_written(path):
    with SqliteJournal(path, account="a") as journal:
        journal.append(ROWS[0], durable=False)
        assert list(read(path)) == [*ROWS, ROWS[0]]


def test_another_account_is_refused(path):
    with pytest.raises(ConfigError, match="journal of 'a', not of 'b'"):
        SqliteJournal(path, account="b")
    SqliteJournal(path, account="a").close()


@pytest.mark.parametrize("row", range(1, len(ROWS) + 1))
@pytest.mark.parametrize("column", ["body", "hash"])
def test_flipped_byte_breaks_the_chain_at_its_row(path, row, column):
    db = sqlite3.connect(path)
    (value,) = db.execute(f"SELECT {column} FROM entries WHERE seq=?", (row,)).fetchone()
    raw = bytearray(value.encode() if column == "body" else value)
    raw[len(raw) // 2] ^= 1
    flipped = raw.decode() if column == "body" else bytes(raw)
    db.execute(f"UPDATE entries SET {column}=? WHERE seq=?", (flipped, row))
    db.commit()
    db.close()
    before = []
    with SqliteJournal(path, account="a") as journal, pytest.raises(InvariantBroken, match=f"row {row} of"):
        before.extend(journal.replay())
    assert before == ROWS[: row - 1] or before == []


@pytest.mark.parametrize("sql", ["DELETE FROM entries WHERE seq=2", "UPDATE entries SET seq=seq+1 WHERE seq=5"])
def test_lost_or_renumbered_row_breaks_the_chain(path, sql):
    db = sqlite3.connect(path)
    db.execute(sql)
    db.commit()
    db.close()
    with pytest.raises(InvariantBroken, match="is not what was written"):
        list(read(path))


def test_any_flipped_byte_of_the_file_is_found_or_does_not_matter(path, tmp_path):
    SqliteJournal(path, account="a").close()
    whole = path.read_bytes()
    found = 0
    for place in range(0, len(whole), 37):
        torn = tmp_path / f"torn{place}.sqlite"
        torn.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            with SqliteJournal(torn, account="a") as journal:
                assert list(journal.replay()) == ROWS
        except (InvariantBroken, ConfigError):
            found += 1
    assert found > 10


def test_acknowledged_rows_survive_a_kill(tmp_path):
    """Thirty processes are killed right after a row that was not even durable."""
    path = tmp_path / "journal.sqlite"
    for kill in range(1, 31):
        child = os.fork()
        if child == 0:
            try:
                SqliteJournal(path, account="a").append(ROWS[0], durable=False)
                os.kill(os.getpid(), signal.SIGKILL)
            finally:
                os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        assert len(list(read(path))) == kill


def test_full_disk_is_a_config_error_and_nothing_is_written(path):
    with SqliteJournal(path, account="a") as journal:
        journal._db.execute("PRAGMA query_only=1")
        with pytest.raises(ConfigError, match="can't be written"):
            journal.append(ROWS[0], durable=True)
        assert list(journal.replay()) == ROWS
        journal._db.execute("PRAGMA query_only=0")
        assert journal.append(ROWS[0], durable=True) == len(ROWS) + 1


def test_something_else_in_place_of_the_journal_is_told(tmp_path):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(InvariantBroken, match="is damaged"):
        SqliteJournal(path, account="a")
