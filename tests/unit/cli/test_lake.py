"""`helio lake`: what stands there, as text, SQL and CSV; keeping it small; one clear sentence when it can't."""

from __future__ import annotations

import io
import json
from pathlib import Path

import polars as pl
import pytest

from heliograph.cli.lake import app
from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, HeliographError
from heliograph.core.timeframe import DAY_MS
from heliograph.lake import read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.testing import lakes


@pytest.fixture
def lake(tmp_path: Path) -> LakeSettings:
    settings = LakeSettings(uri=str(tmp_path / "lake"))
    store = open_store(settings)
    with Committer(settings, store, "t") as committer:
        for symbol in ("BTC/USDT", "ETH/USDT"):
            for day in (0, 1, 3):
                committer.commit([lakes.written(store, lakes.shard(day * DAY_MS, (day + 1) * DAY_MS, symbol=symbol))])
    with Committer(settings, store, "t", table="funding") as committer:
        row = lakes.shard(0, 10 * DAY_MS, timeframe="tick", symbol="BTC/USDT:USDT")
        committer.commit([lakes.written_series(store, row, "funding")])
    return settings


def _run(lake: LakeSettings, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    app(args=[*arguments, "--set", f"lake.uri={lake.uri}"], standalone_mode=False)
    return capsys.readouterr().out


def test_ls_tells_what_there_is(lake: LakeSettings, capsys: pytest.CaptureFixture[str]) -> None:
    heads, candles, funding = (line.split("  ") for line in _run(lake, capsys, "ls").splitlines())
    cells = [[cell.strip() for cell in line if cell] for line in (heads, candles, funding)]
    assert cells[0] == [
        "table",
        "venue",
        "tf",
        "symbols",
        "rows",
        "parts",
        "bytes",
        "B/row",
        "first",
        "last",
        "covered %",
    ]
    told = dict(zip(cells[0], cells[1], strict=True))
    assert (told["venue"], told["tf"], told["symbols"], told["rows"], told["parts"]) == ("fake", "1h", "2", "144", "6")
    assert (told["first"], told["last"], told["covered %"]) == ("1970-01-01 00:00", "1970-01-04 23:00", "75.00")
    assert cells[2][:5] == ["funding", "fake", "tick", "1", "30"]


def test_head_and_its_last_rows(lake: LakeSettings, capsys: pytest.CaptureFixture[str]) -> None:
    first = pl.read_csv(io.StringIO(_run(lake, capsys, "head", "fake", "ETH/USDT", "1h", "-n", "3", "--csv")))
    expected = read.candles(lake, "fake", "ETH/USDT", "1h")
    assert first.columns == ["open_utc", "open_ts_ms", "open", "high", "low", "close", "volume"]
    assert first["high"].to_list() == expected.high[:3].tolist()
    last = pl.read_csv(io.StringIO(_run(lake, capsys, "head", "fake", "ETH/USDT", "1h", "-n", "2", "--last", "--csv")))
    assert last["open_ts_ms"].to_list() == expected.open_ts_ms[-2:].tolist()
    assert "open_utc" in _run(lake, capsys, "head", "fake", "ETH/USDT", "1h")


def test_sql_answers_over_candles_and_coverage(lake: LakeSettings, capsys: pytest.CaptureFixture[str]) -> None:
    query = "SELECT symbol, count(*) AS n, max(high) AS top FROM candles GROUP BY symbol ORDER BY symbol"
    found = pl.read_csv(io.StringIO(_run(lake, capsys, "sql", query, "--csv")))
    top = float(read.candles(lake, "fake", "BTC/USDT", "1h").high.max())
    assert found.rows() == [("BTC/USDT", 72, top), ("ETH/USDT", 72, top)]
    assert "| have   | 6 |" in _run(lake, capsys, "sql", "SELECT status, count(*) AS n FROM coverage GROUP BY status")


def test_compact_then_vacuum(lake: LakeSettings, capsys: pytest.CaptureFixture[str]) -> None:
    told = [json.loads(line) for line in _compact_json(_run(lake, capsys, "compact"))]
    assert [(t["table"], t["merged"], t["written"]) for t in told] == [("candles", 4, 2), ("funding", 0, 0)]
    cleaned = [
        json.loads(line) for line in _compact_json(_run(lake, capsys, "vacuum", "--set", "lake.retention_days=0"))
    ]
    assert [(c["table"], c["retired"]) for c in cleaned] == [("candles", 4), ("funding", 0)]
    assert read.scan(lake).collect().height == 144


def _compact_json(text: str) -> list[str]:
    return [f"{{{chunk}}}" for chunk in text[text.index("{") + 1 : text.rindex("}")].split("}\n{")]


def test_compact_ends_badly_when_a_part_is_broken(lake: LakeSettings, capsys: pytest.CaptureFixture[str]) -> None:
    path = read.parts(lake, "fake", "BTC/USDT", "1h")[0]
    parts = {part["path"]: part for part in read.live_parts(lake)}
    victim = path if parts[path]["first_ts_ms"] < 2 * DAY_MS else read.parts(lake, "fake", "BTC/USDT", "1h")[1]
    (Path(lake.uri) / "candles" / victim).write_bytes(b"x")
    with pytest.raises(HeliographError, match="1 were left as they are"):
        _run(lake, capsys, "compact")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("head", "okx", "BTC/USDT", "1h"), "helio lake ls"),
        (("sql", "SELECT nothing FROM nowhere"), "can't answer"),
    ],
)
def test_wrong_question_is_told_in_a_sentence(
    lake: LakeSettings, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        _run(lake, capsys, *arguments)


@pytest.mark.parametrize("command", ["ls", "compact", "vacuum"])
def test_empty_lake_says_what_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(ConfigError, match="helio fetch"):
        _run(LakeSettings(uri=str(tmp_path)), capsys, command)
