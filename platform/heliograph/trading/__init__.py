"""Pure decisions: forecasts and events in, orders out."""
