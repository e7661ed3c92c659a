"""How much is traded, and on which side.

The money flow index and on-balance volume are kernels of our own: TA-Lib's MFI calls a turnover below 1.0 nothing, so
it depends on the unit of the volume, and its OBV has no bound. A bar without volume counts as 1 % of the mean volume.
"""

from __future__ import annotations

from heliograph.features.spec import Feature

_GRANVILLE = "J. Granville, New Key to Stock Market Profits, 1963: on-balance volume, as a share of all volume"

FEATURES = (
    Feature(
        name="volume_z_168",
        family="volume",
        unit="standard deviations of log-volume over 168 bars; 0 where it does not vary",
        source="own definition: log of volume over its 168-bar mean, standardised over 168 bars",
        lookback_bars=335,
        of="volume_z_168",
        low=-8.0,
        high=8.0,
    ),
    Feature(
        name="volume_ratio_24_168",
        family="volume",
        unit="log of mean volume of 24 bars / 168 bars; 0 where nothing is traded",
        source="own definition",
        lookback_bars=168,
        of="volume_ratio_24_168",
        low=-5.0,
        high=2.0,
    ),
    Feature(
        name="flow_24",
        family="volume",
        unit="volume of rising less falling bars / volume, 24 bars",
        source=_GRANVILLE,
        lookback_bars=25,
        of="flow_24",
        low=-1.0,
        high=1.0,
    ),
    Feature(
        name="money_flow_14",
        family="volume",
        unit="(MFI − 50) / 50: turnover of rising less falling typical price / turnover, 14 bars",
        source="G. Quong, A. Soudack, Volume-Weighted RSI: Money Flow, Technical Analysis of Stocks & Commodities 7(3), 1989",
        lookback_bars=15,
        settle_bars=714,
        of="money_flow_14",
        low=-1.0,
        high=1.0,
    ),
)
