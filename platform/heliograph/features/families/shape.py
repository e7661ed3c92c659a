"""The shape of a bar and of the few before it: wicks, gaps, candle patterns as graded numbers, the day so far."""

from __future__ import annotations

from heliograph.features.declare import Feature
from heliograph.features.graph import Series
from heliograph.features.market import CLOSE, HIGH, LOW, OPEN
from heliograph.features.ops.candle import day, fractal, gap, heikin, pair, parts, sizes, streak, triple
from heliograph.features.ops.pointwise import magnitude, ratio
from heliograph.features.ops.window import highest, lowest, mean, total

_FLAT = 1e-9  # of the close: a range below it is rounding, not a market
_OWN = "own definition"
_LANE = "G. Lane, Lane's Stochastics, Technical Analysis of Stocks & Commodities 2(3), 1984"
_NISON = "S. Nison, Japanese Candlestick Charting Techniques, 2nd ed. 2001"
_GRADED = f"{_NISON}; grading: own definition"
_CRABEL = "T. Crabel, Day Trading with Short Term Price Patterns and Opening Range Breakout, 1990"
_BROOKS = "A. Brooks, Reading Price Charts Bar by Bar, 2009; grading: own definition"
_SCHWAGER = "J. Schwager, Technical Analysis, 1996: reversal day; grading: own definition"
_WILLIAMS = "B. Williams, Trading Chaos, 1995: fractals; grading: own definition"
_HEIKIN = "D. Valcu, Using the Heikin-Ashi Technique, Technical Analysis of Stocks & Commodities 22(2), 2004"

_PARTS, _SIZES, _PAIR, _HEIKIN_BAR, _DAY = parts(), sizes(), pair(), heikin(), day()
_STAR, _MARCH = triple()
_WIDTH, _BODY = HIGH - LOW, CLOSE - OPEN
_WICKS = _PARTS.lower_wick - _PARTS.upper_wick


def _narrowness(bars: int) -> Series:
    least = lowest(_WIDTH, bars)
    return ratio(_WIDTH - least, highest(_WIDTH, bars) - least, least=_FLAT, measure=CLOSE, otherwise=0.5)


def _rejection(bars: int) -> Series:
    bottom = lowest(LOW, bars)
    place = ratio(CLOSE - bottom, highest(HIGH, bars) - bottom, least=_FLAT, measure=CLOSE, otherwise=0.5)
    return _PARTS.lower_wick * (1.0 - place) - _PARTS.upper_wick * place


def _feature(name: str, unit: str, source: str, of: Series, low: float, high: float) -> Feature:
    return Feature(name=name, family="shape", unit=unit, source=source, of=of, low=low, high=high)


_ONE = (
    _feature("close_position", "share of the bar's range below the close", _LANE, _PARTS.close_position, 0.0, 1.0),
    _feature("body_ratio", "body / range, with its sign", _NISON, _PARTS.body, -1.0, 1.0),
    _feature("upper_wick", "upper wick / range", _NISON, _PARTS.upper_wick, 0.0, 1.0),
    _feature("lower_wick", "lower wick / range", _NISON, _PARTS.lower_wick, 0.0, 1.0),
    _feature(
        "wick_balance",
        "(lower wick − upper wick) / range: hammer above 0, shooting star below",
        _GRADED,
        _WICKS,
        -1.0,
        1.0,
    ),
    _feature(
        "doji",
        "twice the shorter wick / range: 1 where there is no body and both wicks are as long",
        _GRADED,
        _PARTS.doji,
        0.0,
        1.0,
    ),
    _feature("bar_range", "log of high / low in ewma_volatilities", _OWN, _SIZES.width, 0.0, 25.0),
    _feature("bar_body", "log of close / open in ewma_volatilities", _OWN, _SIZES.body, -10.0, 10.0),
    _feature(
        "upper_wick_size", "log of high / body's top in ewma_volatilities; cut at 8", _OWN, _SIZES.upper_wick, 0.0, 8.0
    ),
    _feature(
        "lower_wick_size",
        "log of body's bottom / low in ewma_volatilities; cut at 8",
        _OWN,
        _SIZES.lower_wick,
        0.0,
        8.0,
    ),
    _feature("gap", "log of open / close before in ewma_volatilities of the time between", _NISON, gap(), -10.0, 10.0),
)

_FEW = (
    _feature(
        "range_overlap",
        "shared range of two bars / range of both; below 0 where they are apart",
        _BROOKS,
        _PAIR.overlap,
        -1.0,
        1.0,
    ),
    _feature("range_change", "(range − range before) / their sum", _OWN, _PAIR.widening, -1.0, 1.0),
    _feature(
        "inside_bar",
        "smaller margin by which the bar before holds this one, in mean ranges of both; 0 where it does not",
        _CRABEL,
        _PAIR.inside,
        0.0,
        1.0,
    ),
    _feature(
        "outside_bar",
        "smaller margin by which this bar holds the one before, in mean ranges of both; 0 where it does not",
        _CRABEL,
        _PAIR.outside,
        0.0,
        1.0,
    ),
    _feature(
        "engulfing",
        "(body − engulfed body of the other colour) / their sum, with the body's sign; else 0",
        _GRADED,
        _PAIR.engulfing,
        -1.0,
        1.0,
    ),
    _feature(
        "harami",
        "(body before − the body of the other colour within it) / their sum, with this body's sign; else 0",
        _GRADED,
        _PAIR.harami,
        -1.0,
        1.0,
    ),
    _feature(
        "body_retracement",
        "move of the close against the body before / sum of both sizes: 1/2 where all of it is taken back",
        _GRADED,
        _PAIR.retracement,
        -1.0,
        1.0,
    ),
    _feature(
        "tweezers",
        "(difference of two highs − difference of two lows) / range of both: equal lows above 0",
        _GRADED,
        _PAIR.tweezers,
        -1.0,
        1.0,
    ),
    _feature("bar_shift", "move of the bar's middle / range of both bars", _BROOKS, _PAIR.shift, -1.0, 1.0),
    _feature(
        "close_beyond",
        "close from the middle of the bar before, in half its ranges: breakout beyond ±1",
        _BROOKS,
        _PAIR.place,
        -5.0,
        5.0,
    ),
    _feature(
        "reversal_bar",
        "lower low and higher close, the smaller of both / range of both bars; below 0 for a higher high",
        _SCHWAGER,
        _PAIR.reversal,
        -1.0,
        1.0,
    ),
    _feature(
        "star",
        "morning star above 0, evening star below: likeness of the outer bodies times smallness of the middle one",
        _GRADED,
        _STAR,
        -1.0,
        1.0,
    ),
    _feature(
        "soldiers", "smallest body / range of three of one colour, with its sign; else 0", _GRADED, _MARCH, -1.0, 1.0
    ),
    _feature(
        "fractal",
        "margin of the middle of five lows above 0, of highs below / range of the five",
        _WILLIAMS,
        fractal(),
        -1.0,
        1.0,
    ),
    _feature(
        "close_streak_12",
        "closes in a row above the one before / 12; below 0 for falling ones",
        _OWN,
        streak(12),
        -1.0,
        1.0,
    ),
    _feature("narrow_range_4", "place of the bar's range among 4: 0 the narrowest", _CRABEL, _narrowness(4), 0.0, 1.0),
    _feature("narrow_range_7", "place of the bar's range among 7: 0 the narrowest", _CRABEL, _narrowness(7), 0.0, 1.0),
    _feature("heikin_body", "body / range of the Heikin-Ashi bar", _HEIKIN, _HEIKIN_BAR.body, -1.0, 1.0),
    _feature(
        "heikin_wicks",
        "(lower wick − upper wick) / range of the Heikin-Ashi bar",
        _HEIKIN,
        _HEIKIN_BAR.wicks,
        -1.0,
        1.0,
    ),
    _feature(
        "heikin_size",
        "log of close / open of the Heikin-Ashi bar in ewma_volatilities",
        _HEIKIN,
        _HEIKIN_BAR.size,
        -10.0,
        10.0,
    ),
)

_MANY = (
    _feature(
        "body_share_14",
        "sum of absolute bodies / sum of ranges, 14 bars",
        _OWN,
        ratio(total(magnitude(_BODY), 14), total(_WIDTH, 14), least=_FLAT, measure=CLOSE),
        0.0,
        1.0,
    ),
    _feature(
        "close_bias_14",
        "mean place of the close in its bar's range, −1 … 1, 14 bars",
        _LANE,
        mean(_PARTS.close_position, 14) * 2.0 - 1.0,
        -1.0,
        1.0,
    ),
    _feature("wick_bias_14", "mean of wick_balance, 14 bars", _OWN, mean(_WICKS, 14), -1.0, 1.0),
    _feature(
        "wick_rejection_24",
        "lower wick near the low of 24 bars above 0, upper wick near their high below 0",
        _GRADED,
        _rejection(24),
        -1.0,
        1.0,
    ),
    _feature("day_position", "share of the UTC day's range so far below the close", _OWN, _DAY.place, 0.0, 1.0),
    _feature(
        "day_return",
        "log of close / the UTC day's open, in ewma_volatilities of the bars since",
        _OWN,
        _DAY.gain,
        -10.0,
        10.0,
    ),
    _feature(
        "day_range",
        "log of the UTC day's high / low so far, in ewma_volatilities of the bars since",
        _OWN,
        _DAY.width,
        0.0,
        25.0,
    ),
)

FEATURES: tuple[Feature, ...] = (*_ONE, *_FEW, *_MANY)
