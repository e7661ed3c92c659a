"""A closed candle in, commands out; one bar at a time or over a whole frame."""
