"""Trade on live candles with a journal that survives any crash."""
