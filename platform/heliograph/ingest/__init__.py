"""Plan, fetch and write shards of candles."""
