"""History in bulk: the files that a venue publishes of its past, and what each of them holds."""
