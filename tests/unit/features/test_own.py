"""The page that shows how to add features of one's own: its file works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.unit.features.candles import market

from heliograph.config.settings import FeatureSettings
from heliograph.features import catalog
from heliograph.features.table import compute
from heliograph.testing.prove import faults

PAGE = Path(__file__).parents[3] / "docs" / "usage.md"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> FeatureSettings:
    """Those of the page, with its file written where they look for it."""
    section = PAGE.read_text().split("### Features of your own")[1]
    code, said = (re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("python", "yaml"))
    assert code is not None
    assert said is not None
    file = tmp_path_factory.mktemp("own") / "mine.py"
    file.write_text(code[1])
    features = yaml.safe_load(said[1])["features"]
    return FeatureSettings.model_validate(features | {"files": [file]})


def test_features_of_the_page_join_the_table(settings: FeatureSettings) -> None:
    table = compute(market(1_200), settings)
    names = {"week_in_sigmas", "volume_trend", "squares_24", "week_in_sigmas_4h"}
    assert names <= set(table.names)
    assert set(catalog.CORE) < set(table.names)
    assert np.isfinite(table.values[-1]).all()
    assert catalog.fingerprint(settings) != catalog.fingerprint(FeatureSettings())


def test_features_of_the_page_stand_the_proof(settings: FeatureSettings) -> None:
    assert faults(catalog.own(settings.files[0])) == []
