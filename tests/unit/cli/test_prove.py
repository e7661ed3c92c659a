"""`helio prove-features`: every feature on trial, JSON for machines, words for people, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from heliograph.cli.main import main
from heliograph.cli.reference import features_page
from heliograph.core import timeframe as timeframes
from heliograph.features import leaks, specimen
from heliograph.features.declare import Feature
from heliograph.features.graph import node, source
from heliograph.features.market import CLOSE
from heliograph.features.ops.pointwise import magnitude

SOUND = """
from heliograph.features.declare import Feature
from heliograph.features.market import CLOSE

FEATURES = (
    Feature(name="rise_3", family="own", unit="share", source="own", of=CLOSE / CLOSE.lag(3), low=0.0, high=10.0),
)
"""

BROKEN = """
from heliograph.features.declare import Feature
from heliograph.features.graph import kernel, node
from heliograph.features.market import CLOSE


@kernel
def _peek(x, at, i, p, s, n):
    o, a = at[0] + i, at[1] + i
    for t in range(n):
        x[o + t] = x[a + t + 1] / x[a + t]


FEATURES = (
    Feature(name="peek", family="own", unit="share", source="own", of=node(_peek, CLOSE)[0], low=0.0, high=10.0),
)
"""


def prove(*arguments: object) -> int:
    return main(["prove-features", "--cuts", "3", "--set", "features.context_timeframes=[4h]", *map(str, arguments)])


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    (tmp_path / "sound.py").write_text(SOUND)
    return tmp_path / "sound.py"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """``_peek`` must lie in a file: numba keeps what it compiled beside it."""
    (tmp_path / "broken.py").write_text(BROKEN)
    return tmp_path / "broken.py"


def test_json_has_a_line_for_every_feature_and_leak_and_the_sum(sound: Path, capsys) -> None:
    assert prove("--json", "--features", sound) == 0
    told = lines(capsys)
    features = [line for line in told if "feature" in line]
    assert [line["feature"] for line in features] == ["rise_3", "rise_3_4h"]
    assert all(line["parity_max_rel_err"] == 0.0 and line["lookahead_ok"] is True for line in features)
    assert {line["leak"]: line["found"] for line in told if "leak" in line} == {leak.name: True for leak in leaks.LEAKS}
    assert told[-1] == {
        "features": 2, "faulty": 0, "parity_max_rel_err": 0.0, "leaks": 10, "leaks_found": 10, "clean_twins_flagged": 0,
    }  # fmt: skip


def test_broken_feature_is_named_and_ends_with_exit_code_1(broken: Path, capsys) -> None:
    assert prove("--json", "--features", broken) == 1
    shown = capsys.readouterr()
    told = [json.loads(line) for line in shown.out.splitlines()]
    assert told[0]["lookahead_ok"] is False
    assert "_peek reads ahead of its bar" in told[0]["told"]
    assert "2 of 2 features fail: peek, peek_4h" in shown.err


def test_words_tell_families_leaks_and_what_is_wrong(broken: Path, capsys) -> None:
    assert prove("--features", broken) == 1
    told = capsys.readouterr().out
    for part in ("family", "own", "planted leak", "wrong known-time", "peek: _peek reads ahead of its bar"):
        assert part in told


def test_recorded_candles_are_taken_from_a_folder(sound: Path, tmp_path: Path, capsys) -> None:
    made = specimen.market(900, timeframes.parse("1h"))
    columns = {name: getattr(made, name) for name in ("open", "high", "low", "close", "volume")}
    for symbol in ("BTC-USDT", "ETH-USDT"):
        (tmp_path / "candles" / symbol).mkdir(parents=True)
        pq.write_table(pa.table({"ts": made.open_ts_ms, **columns}), tmp_path / "candles" / symbol / "1h.parquet")
    assert prove("--features", sound, "--candles", tmp_path / "candles") == 0
    assert "bars of ETH/USDT" in capsys.readouterr().out


def test_candles_too_few_for_a_value_prove_nothing(tmp_path: Path, sound: Path, capsys) -> None:
    made = specimen.market(8, timeframes.parse("1h"))
    columns = {name: getattr(made, name) for name in ("open", "high", "low", "close", "volume")}
    (tmp_path / "candles" / "BTC-USDT").mkdir(parents=True)
    pq.write_table(pa.table({"ts": made.open_ts_ms, **columns}), tmp_path / "candles" / "BTC-USDT" / "1h.parquet")
    assert prove("--features", sound, "--candles", tmp_path / "candles") == 1
    assert "rise_3_4h: it had no value in the candles given" in capsys.readouterr().out


def test_folder_without_candles_of_the_timeframe_is_told(sound: Path, tmp_path: Path, capsys) -> None:
    made = specimen.market(50, timeframes.parse("1d"))
    columns = {name: getattr(made, name) for name in ("open", "high", "low", "close", "volume")}
    (tmp_path / "candles" / "BTC-USDT").mkdir(parents=True)
    pq.write_table(pa.table({"ts": made.open_ts_ms, **columns}), tmp_path / "candles" / "BTC-USDT" / "1d.parquet")
    assert prove("--features", sound, "--candles", tmp_path / "candles") == 2
    assert "has no 1h candles" in capsys.readouterr().err


def test_file_that_is_not_there_is_told(tmp_path: Path, capsys) -> None:
    assert prove("--features", tmp_path / "none.py") == 2
    assert "none.py" in capsys.readouterr().err


# --- the page on features


def of(name: str, family: str, series) -> Feature:
    return Feature(name=name, family=family, unit="a | b", source="someone", of=series, low=-1.0, high=1.0)


def test_page_counts_families_and_tells_inputs_and_memory() -> None:
    endless = node(magnitude(CLOSE).node.kernel, CLOSE, settle=None)[0]
    features = [
        of("one", "trend", CLOSE / CLOSE.lag(1_200)),
        of("two", "carry", source("funding_rate") - CLOSE),
        of("three", "trend", endless),
    ]
    page = features_page(features, {"two"}, ("4h",))
    assert "| [trend](#trend) | 2 |" in page
    assert "| all | 3 |" in page
    assert "`one_4h`" in page
    assert "| `one` |  | a \\| b | close | 1,201 | 1,201 | -1 … 1 | someone |" in page
    assert "| `two` | ● | a \\| b | close, funding_rate | 1 | 1 | -1 … 1 | someone |" in page
    assert "| `three` |  | a \\| b | close | 1 | carried forever | -1 … 1 | someone |" in page
    assert page.index("## trend") < page.index("`three`") < page.index("## carry")
