"""The passes that features are made of, by kind."""
