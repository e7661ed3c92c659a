"""A local world that speaks the venues' true protocols."""
