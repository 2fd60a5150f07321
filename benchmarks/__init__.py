"""Measurements, started by hand; README.md says what each one answers."""
