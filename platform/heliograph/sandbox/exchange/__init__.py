"""One adapter per venue: its wire shape, caps, bounds and quirks."""
