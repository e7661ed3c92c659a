"""docs/reference is what the code says."""

from __future__ import annotations

import pytest

from heliograph.cli.reference import FOLDER, pages

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_page_is_up_to_date(name: str):
    assert (FOLDER / name).read_text() == PAGES[name], "run `make docs`"


def test_every_setting_stands_in_the_page():
    for key in ("lake", "fetch.venues", "fetch.selections", "risk", "serve", "live"):
        assert f"## {key}" in PAGES["settings.md"]
    assert "`max_leverage`" in PAGES["settings.md"]
