"""A broker that fills orders from candles."""
