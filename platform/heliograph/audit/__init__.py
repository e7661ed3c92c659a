"""Is what the lake holds true, and is what it lacks explained."""
