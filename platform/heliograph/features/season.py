"""What the clock says: the hour, the weekday, and how many bars are missing before this one."""

from __future__ import annotations

from heliograph.features.spec import Feature

FEATURES = (
    Feature(
        name="bars_missing",
        family="season",
        unit="log(1 + bars missing between the bar before and this one)",
        source="own definition: the mask of the gaps",
        lookback_bars=2,
        of="bars_missing",
        low=0.0,
        high=8.0,
    ),
    *(
        Feature(
            name=f"{cycle}_{part}",
            family="season",
            unit=f"{'sine' if part == 'sin' else 'cosine'} of the bar's open in the UTC {'day' if cycle == 'hour' else 'week'}",
            source="cyclical encoding of time",
            lookback_bars=1,
            of=f"{cycle}_{part}",
            low=-1.0,
            high=1.0,
        )
        for cycle in ("hour", "weekday")
        for part in ("sin", "cos")
    ),
)
