"""`helio score`: public benchmarks' files in, a line of JSON for each forecaster out."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from heliograph.cli.main import main
from heliograph.model import foundation

SIX = ["naive", "seasonal_naive", "ridge", "pooled", "hybrid", "ensemble"]


def score(csv: Path, protocol: str, *more: object) -> int:
    return main(
        [
            *("score", "--csv", str(csv), "--protocol", protocol),
            *("--epochs", "1", "--samples", "128", "--members", "1"),
            *map(str, more),
        ]
    )


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def write(path: Path, num: int, step: timedelta, *, of: int = 2) -> Path:
    """A made file of the same shape as the public one."""
    rng = np.random.default_rng(num)
    waves = [np.sin(2 * np.pi * np.arange(num) / 24 + k) + np.cumsum(0.05 * rng.normal(size=num)) for k in range(of)]
    rows = [
        ",".join(
            [
                (datetime(2016, 7, 1, tzinfo=UTC) + t * step).strftime("%Y-%m-%d %H:%M:%S"),
                *(f"{w[t]:.6f}" for w in waves),
            ]
        )
        for t in range(num)
    ]
    path.write_text("date," + ",".join(f"s{k}" for k in range(of)) + "\n" + "\n".join(rows) + "\n")
    return path


def test_ltsf_of_a_file_of_etth1s_shape(tmp_path, capsys):
    etth1 = write(tmp_path / "ETTh1.csv", 17_420, timedelta(hours=1), of=1)
    assert score(etth1, "ltsf", "--json", "--lookback", 96) == 0
    found = lines(capsys)
    measured = [row for row in found if row["check"] == "score"]
    assert [row["forecaster"] for row in measured] == SIX
    assert all(row["windows"] == 2_785 and row["horizon"] == 96 and row["lookback"] == 96 for row in measured)
    assert [row["forecaster"] for row in found if row["check"] == "published"] == ["repeat last", "FEDformer"]


def test_chronos_takes_both_files_as_one_set(tmp_path, capsys):
    first, second = (write(tmp_path / f"ETTh{k}.csv", 600 + k, timedelta(hours=1)) for k in (1, 2))
    assert score(first, "chronos", "--csv", second, "--json") == 0
    found = lines(capsys)
    assert [row["forecaster"] for row in found if row["check"] == "score"] == SIX
    assert {row["series"] for row in found if row["check"] == "score"} == {4}
    assert {row["protocol"] for row in found} == {"chronos"}
    assert sum(row["check"] == "published" for row in found) == 7


def test_volatility_takes_the_logs_where_told(tmp_path, capsys):
    rng = np.random.default_rng(1)
    rows = [
        f"{(datetime(2016, 1, 1, tzinfo=UTC) + timedelta(days=t)).date()},.{name},{np.exp(rng.normal(-9, 0.5)):.3e}"
        for t in range(700)
        for name in ("AEX", "SPX")
    ]
    path = tmp_path / "omi.csv"
    path.write_text("date,Symbol,rv5\n" + "\n".join(rows) + "\n")
    options = ("--split", "2017-01-01,2017-06-01,2017-12-01", "--lookback", 32)
    assert score(path, "volatility", *options, "--no-take-log") == 2
    assert "never negative" in capsys.readouterr().err
    assert score(path, "volatility", *options, "--json") == 0
    told = capsys.readouterr()
    assert "their logs are scored" in told.err
    found = [json.loads(line) for line in told.out.splitlines()]
    assert [row["forecaster"] for row in found] == [
        "random_walk", "seasonal_naive", "har", "har_market", "pooled", "ridge", "lightgbm", "hybrid", "ensemble",
    ]  # fmt: skip
    assert all(0 < row["p50"] < 0.2 for row in found)


def test_words_are_a_table_with_published_figures_below(tmp_path, capsys):
    assert score(write(tmp_path / "exchange_rate.csv", 400, timedelta(days=1)), "chronos") == 0
    told = capsys.readouterr().out
    assert "season 5" in told
    assert "Chronos-Bolt-mini wql 0.00935, mase 1.352" in told
    assert told.splitlines()[1].split()[:3] == ["forecaster", "wql", "mase"]


@pytest.mark.parametrize(
    ("protocol", "more", "told"),
    [
        ("ltsf", ("--split", "9,9"), "three positive numbers"),
        ("ltsf", (), "does not fit 400 rows"),
        ("chronos", ("--lookback", "390"), "shorter --lookback"),
        ("chronos", ("--take-log",), "go with --protocol volatility"),
        ("ltsf", ("--foundation", "chronos=x"), "goes with --protocol chronos"),
        ("chronos", ("--foundation", "oracle=x"), "FAMILY=FOLDER"),
        ("chronos", ("--foundation", "chronos=/nowhere"), "holds no weights"),
    ],
)
def test_wrong_arguments_are_told_in_a_sentence(protocol, more, told, tmp_path, capsys):
    path = write(tmp_path / "ETTh1.csv", 400, timedelta(hours=1))
    assert score(path, protocol, *more) == 2
    assert told in capsys.readouterr().err


def test_foundation_model_is_scored_as_it_comes(tmp_path, capsys, monkeypatch):
    class LastValue:
        levels, fingerprint = (0.1, 0.5, 0.9), "abc"

        def quantiles(self, context_BT, steps, levels):
            return np.tile(context_BT[:, -1, None, None], (1, steps, len(levels)))

    opened = []
    monkeypatch.setattr(foundation, "open_pipeline", lambda *of: opened.append(of) or LastValue())
    path = write(tmp_path / "made.csv", 400, timedelta(hours=1))
    assert score(path, "chronos", "--json", "--foundation", f"chronos={tmp_path}") == 0
    found = lines(capsys)
    assert opened == [("chronos", tmp_path)]
    assert [row["forecaster"] for row in found] == [*SIX, "chronos"]
    assert found[-1]["wql"] == pytest.approx(found[0]["wql"])
    assert found[-1]["lookback"] == 376


def test_original_exchange_rate_without_header_and_dates_is_scored_as_days(tmp_path, capsys):
    rng = np.random.default_rng(0)
    walk = np.exp(np.cumsum(0.005 * rng.normal(size=(400, 8)), axis=0))
    path = tmp_path / "exchange_rate.txt"
    path.write_text("\n".join(",".join(f"{v:.6f}" for v in row) for row in walk) + "\n")
    assert score(path, "chronos", "--json") == 0
    found = lines(capsys)
    assert {(row["series"], row["season"], row["horizon"]) for row in found if row["check"] == "score"} == {(8, 5, 30)}
    assert sum(row["check"] == "published" for row in found) == 7


def test_absent_file_is_told(tmp_path, capsys):
    assert score(tmp_path / "none.csv", "ltsf") == 2
    assert "there is no file" in capsys.readouterr().err


def test_file_with_a_gap_is_told_and_nothing_is_scored(tmp_path, capsys):
    path = write(tmp_path / "ETTh1.csv", 400, timedelta(hours=1))
    path.write_text(
        path.read_text().replace("2016-07-02 00:00:00,", "2016-07-02 00:00:00,,", 1).replace(",,", ",nan,", 1)
    )
    assert score(path, "ltsf") == 1
    assert capsys.readouterr().out == ""
