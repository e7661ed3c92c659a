"""Law: cash + positions + fees balance after any sequence of orders and fills, and equal an independent count."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule
from tests.unit.trading.makes import BTC, ETH, LIMITS, candle, fill, order, start

from heliograph.core.events import OrderAccepted, OrderCancelled
from heliograph.trading import engine
from heliograph.trading import ledger as books

LIMITS = LIMITS.model_copy(update={"hard_drawdown": 1.0, "initial_cash_quote": 1e9})
cents = st.integers(1, 10**7).map(lambda n: Decimal(n) / 100)
units = st.integers(1, 10**6).map(lambda n: Decimal(n) / 10**5)
fees = st.integers(-(10**4), 10**6).map(lambda n: Decimal(n) / 10**4)
keys = st.sampled_from([BTC, ETH])


class AnyFills(RuleBasedStateMachine):
    """Orders are sent, filled in parts, cancelled, filled late; news comes twice and out of order; bars come and go.

    The oracle knows nothing of accounts: it adds up what each fill did to cash and holdings, in fractions.
    """

    fills = Bundle("fills")

    def __init__(self) -> None:
        super().__init__()
        self.state = start(LIMITS)
        self.cash = {None: Fraction(10**9)}
        self.held = {BTC: Fraction(0), ETH: Fraction(0)}
        self.price = {}
        self.fees = Fraction(0)
        self.seen = set()
        self.left = {}
        self.number = 0

    def take(self, event):
        self.state, _ = engine.step(self.state, event, limits=LIMITS)

    @rule(key=keys, side=st.sampled_from(["buy", "sell"]), qty=units)
    def send(self, key, side, qty):
        if key in self.state.book.open_ids:
            return
        self.number += 1
        intent = order(side, str(qty), key=key, client_id=f"o{self.number}")
        self.state = engine.replay(self.state, intent, limits=LIMITS)
        self.left[intent.client_id] = (intent, intent.qty_base)

    @rule(target=fills, data=st.data(), price=cents, fee=fees, share=st.fractions(0, 1))
    def executed(self, data, price, fee, share):
        live = [name for name, (_, left) in self.left.items() if left]
        if not live:
            return multiple()
        intent, left = self.left[data.draw(st.sampled_from(sorted(live)))]
        part = max(Decimal("0.00001"), (left * share.numerator / share.denominator).quantize(Decimal("0.00001")))
        self.left[intent.client_id] = (intent, left - part)
        return fill(intent, str(part), price=str(price), fee=str(fee), trade=f"t{left}")

    @rule(news=fills)
    def told(self, news):
        """Any fill that was ever executed is told now: late, early, or again."""
        self.take(news)
        if (news.client_id, news.trade_id) in self.seen:
            return
        self.seen.add((news.client_id, news.trade_id))
        signed = Fraction(news.qty_base) * (1 if news.side == "buy" else -1)
        self.cash[None] -= signed * Fraction(news.price) + Fraction(news.fee_quote)
        self.held[news.venue, news.symbol] += signed
        self.fees += Fraction(news.fee_quote)
        self.price.setdefault((news.venue, news.symbol), Fraction(news.price))

    @rule(data=st.data(), cancelled=st.booleans())
    def other_news(self, data, cancelled):
        if not self.left:
            return
        name = data.draw(st.sampled_from(sorted(self.left)))
        self.take(OrderCancelled(name, 1) if cancelled else OrderAccepted(name, 1))

    @rule(bar=st.integers(0, 30), key=keys, close=cents)
    def bar(self, bar, key, close):
        mark = self.state.marks.get(key)
        if mark is None or bar * 3_600_000 > mark.open_ts_ms:
            self.price[key] = Fraction(str(float(close)))
        self.take(candle(bar, float(close), key))

    @invariant()
    def balanced_and_equal_to_the_count(self):
        ledger = self.state.ledger
        assert books.is_balanced(ledger)
        assert Fraction(ledger.cash_quote) == self.cash[None]
        assert Fraction(ledger.fees_quote) == self.fees
        assert {k: Fraction(q) for k, q in ledger.qty_base.items()} == {k: q for k, q in self.held.items() if q}
        worth = self.cash[None] + sum(q * self.price[k] for k, q in self.held.items() if q)
        assert Fraction(engine.equity_quote(self.state)) == worth
        assert self.state.halted == ""


AnyFills.TestCase.settings = settings(max_examples=80, stateful_step_count=40, derandomize=True, deadline=None)
TestAnyFills = AnyFills.TestCase
