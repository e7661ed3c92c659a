"""Which way the price goes, how straight, and how far it is from where it has been on average."""

from __future__ import annotations

import math

from heliograph.features.declare import Feature
from heliograph.features.graph import Series
from heliograph.features.market import CLOSE, HIGH, LOG_CLOSE, LOW, SIGMA
from heliograph.features.ops.pointwise import at_least, larger, ratio, sign, smaller
from heliograph.features.ops.range import (
    aroon,
    atr,
    choppiness,
    directional,
    mass_index,
    middle,
    place,
    vortex,
)
from heliograph.features.ops.scale import FLAT, in_ranges, in_sigmas, unless_flat
from heliograph.features.ops.smooth import efficiency, ema, hull, kama, macd, trix
from heliograph.features.ops.trail import sar, supertrend
from heliograph.features.ops.window import fit, highest, lowest, slope

_RANGES = "average true ranges of 14 bars"
_WILDER = "J. W. Wilder, New Concepts in Technical Trading Systems, 1978; TA-Lib"
_APPEL = "G. Appel, The Moving Average Convergence-Divergence Trading Method, 1985; TA-Lib"
_CHANDE = "T. Chande, A Time Price Oscillator, Technical Analysis of Stocks & Commodities 13(9), 1995; TA-Lib"
_DONCHIAN = "R. Donchian, High Finance in Copper, Financial Analysts Journal 16(6), 1960"
_KAUFMAN = "P. J. Kaufman, Smarter Trading, 1995"
_HOSODA = "G. Hosoda, Ichimoku Kinko Hyo, 1969; N. Elliott, Ichimoku Charts, 2007"
_AVERAGES = "W. Brock, J. Lakonishok, B. LeBaron, Simple Technical Trading Rules, Journal of Finance 47(5), 1992"
_LINE = "N. R. Draper, H. Smith, Applied Regression Analysis, 3rd ed. 1998, ch. 1"

_MACD = macd(CLOSE)
_CONVERSION, _BASE = middle(HIGH, LOW, 9), middle(HIGH, LOW, 26)
_LEADING_A, _LEADING_B = (_CONVERSION + _BASE) / 2.0, middle(HIGH, LOW, 52)
_CLOUD_A, _CLOUD_B = _LEADING_A.lag(26), _LEADING_B.lag(26)
_TOP_168, _BOTTOM_168 = highest(HIGH, 168), lowest(LOW, 168)
_VORTEX = vortex(HIGH, LOW, CLOSE, 14)


def _donchian(bars: int) -> Series:
    top, bottom = highest(HIGH, bars), lowest(LOW, bars)
    return unless_flat(place(CLOSE, top, bottom) * 0.02 + -1.0, top - bottom)


def _beyond(price: Series, one: Series, other: Series) -> Series:
    """How far the price is above the higher or below the lower; 0 in between."""
    above, below = price - larger(one, other), smaller(one, other) - price
    return at_least(above, 0.0) - at_least(below, 0.0)


def _feature(name: str, unit: str, source: str, of: Series, *, low: float = -10.0, high: float = 10.0) -> Feature:
    return Feature(name=name, family="trend", unit=unit, source=source, of=of, low=low, high=high)


_MOVEMENT = tuple(
    feature
    for bars in (14, 50)
    for found in (directional(HIGH, LOW, CLOSE, bars),)
    for feature in (
        _feature(f"adx_{bars}", "share: ADX / 100", _WILDER, found.adx * 0.01, low=0.0, high=1.0),
        _feature(
            f"directional_{bars}",
            "share: (+DI − −DI) / 100",
            _WILDER,
            (found.plus - found.minus) * 0.01,
            low=-1.0,
            high=1.0,
        ),
    )
)

_MEANS = (
    _feature("macd_12_26", _RANGES, _APPEL, in_ranges(_MACD.line)),
    _feature("macd_histogram_9", _RANGES, _APPEL, in_ranges(_MACD.histogram), low=-5.0, high=5.0),
    *(
        _feature(
            f"ema_distance_{bars}",
            f"{_RANGES} from the exponential mean of {bars} bars to the close",
            _AVERAGES,
            in_ranges(CLOSE - ema(CLOSE, bars)),
            low=-reach,
            high=reach,
        )
        for bars, reach in ((20, 10.0), (50, 20.0), (100, 30.0), (200, 40.0))
    ),
    *(
        _feature(
            f"ema_cross_{fast}_{slow}",
            f"{_RANGES} from the slow mean to the fast one",
            _AVERAGES,
            in_ranges(ema(CLOSE, fast) - ema(CLOSE, slow)),
            low=-30.0,
            high=30.0,
        )
        for fast, slow in ((20, 50), (50, 200))
    ),
    *(
        _feature(
            f"ema_slope_{bars}",
            f"{_RANGES} that the exponential mean moved in 5 bars",
            _AVERAGES,
            in_ranges(ema(CLOSE, bars) - ema(CLOSE, bars).lag(5)),
        )
        for bars in (20, 50, 200)
    ),
    _feature(
        "kama_distance_10", f"{_RANGES} from Kaufman's mean to the close", _KAUFMAN, in_ranges(CLOSE - kama(CLOSE, 10))
    ),
    _feature(
        "hull_distance_20",
        f"{_RANGES} from Hull's mean to the close",
        "A. Hull, Reducing Lag in a Moving Average, 2005",
        in_ranges(CLOSE - hull(CLOSE, 20)),
    ),
    _feature(
        "trix_15",
        "standard deviations: change of the threefold mean of the close",
        "J. K. Hutson, Good Trix, Technical Analysis of Stocks & Commodities 1(5), 1983; TA-Lib",
        in_sigmas(trix(CLOSE, 15) * 0.01),
        low=-3.0,
        high=3.0,
    ),
)

_LINES = (
    *(
        _feature(
            f"slope_{bars}",
            f"standard deviations of {bars} bars: rise of the line through {bars} log closes",
            _LINE,
            slope(LOG_CLOSE, bars) * math.sqrt(bars) / SIGMA,
        )
        for bars in (14, 50, 200)
    ),
    *(
        _feature(
            f"line_share_{bars}",
            f"R² of the line through {bars} log closes, with the sign of its slope",
            _LINE,
            sign(slope(LOG_CLOSE, bars)) * fit(LOG_CLOSE, bars)[2],
            low=-1.0,
            high=1.0,
        )
        for bars in (20, 50, 200)
    ),
    _feature(
        "line_distance_50",
        "standard errors from the line through 50 log closes to the last of them; 0 where the market is flat",
        _LINE,
        ratio(LOG_CLOSE - fit(LOG_CLOSE, 50)[1], fit(LOG_CLOSE, 50)[3], least=FLAT),
        low=-5.0,
        high=5.0,
    ),
    *(
        _feature(
            f"efficiency_{bars}",
            f"move over {bars} bars as a share of the way gone, with its sign",
            _KAUFMAN,
            efficiency(CLOSE, bars),
            low=-1.0,
            high=1.0,
        )
        for bars in (10, 50, 200)
    ),
)

_EXTREMES = (
    *(
        _feature(
            f"aroon_{bars}",
            "share: Aroon oscillator / 100",
            _CHANDE,
            aroon(HIGH, LOW, bars).oscillator * 0.01,
            low=-1.0,
            high=1.0,
        )
        for bars in (14, 50)
    ),
    *(
        _feature(
            f"donchian_{bars}",
            f"place of the close in the range of {bars} bars, −1 at its low and 1 at its high",
            _DONCHIAN,
            _donchian(bars),
            low=-1.0,
            high=1.0,
        )
        for bars in (20, 50, 200)
    ),
    _feature(
        "distance_high_168",
        "standard deviations of 168 bars below the highest high of 168 bars",
        _DONCHIAN,
        in_sigmas((CLOSE - _TOP_168) / CLOSE, 168),
        high=0.0,
    ),
    _feature(
        "distance_low_168",
        "standard deviations of 168 bars above the lowest low of 168 bars",
        _DONCHIAN,
        in_sigmas((CLOSE - _BOTTOM_168) / CLOSE, 168),
        low=0.0,
    ),
    _feature(
        "ichimoku_lines", f"{_RANGES} from the base line to the turning line", _HOSODA, in_ranges(_CONVERSION - _BASE)
    ),
    _feature(
        "ichimoku_cloud",
        f"{_RANGES} from the cloud, as drawn 26 bars ago, to the close; 0 inside",
        _HOSODA,
        in_ranges(_beyond(CLOSE, _CLOUD_A, _CLOUD_B)),
        low=-20.0,
        high=20.0,
    ),
    _feature(
        "ichimoku_lead",
        f"{_RANGES} from the cloud's second edge to its first, 26 bars ahead of where they are drawn",
        _HOSODA,
        in_ranges(_LEADING_A - _LEADING_B),
    ),
)

_WAYS = (
    _feature(
        "vortex_14",
        "VI+ − VI−",
        "E. Botes, D. Siepman, The Vortex Indicator, Technical Analysis of Stocks & Commodities 28(1), 2010",
        _VORTEX.plus - _VORTEX.minus,
        low=-2.0,
        high=2.0,
    ),
    *(
        _feature(
            f"choppiness_{bars}",
            "share: choppiness / 100; 1 where nothing moves",
            "E. W. Dreiss, Choppiness Index, 1993",
            choppiness(HIGH, LOW, CLOSE, bars) * 0.01,
            low=0.0,
            high=1.0,
        )
        for bars in (14, 50)
    ),
    _feature(
        "mass_25",
        "mass index of 25 bars / 25 − 1",
        "D. Dorsey, The Mass Index, Technical Analysis of Stocks & Commodities 10(6), 1992",
        mass_index(HIGH, LOW) * 0.04 + -1.0,
        low=-1.0,
        high=2.0,
    ),
    _feature(
        "sar_distance",
        f"{_RANGES} from the parabolic stop to the close",
        _WILDER,
        in_ranges(CLOSE - sar(HIGH, LOW).stop),
        low=-20.0,
        high=20.0,
    ),
    _feature(
        "supertrend_10",
        f"{_RANGES} from the stop, three ranges of 10 bars off, to the close",
        "O. Seban, Tout le monde mérite d'être riche, 2nd ed. 2009",
        in_ranges(CLOSE - supertrend(HIGH, LOW, CLOSE, atr(HIGH, LOW, CLOSE, 10)).stop),
        low=-20.0,
        high=20.0,
    ),
)

FEATURES = (*_MEANS, *_MOVEMENT, *_LINES, *_EXTREMES, *_WAYS)
