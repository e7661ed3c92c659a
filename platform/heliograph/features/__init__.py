"""Features, each defined once, for batch and for the live bar."""
