"""The words that every other package speaks: errors, time, markets, money, events, commands, ports."""
