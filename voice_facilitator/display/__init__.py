"""Displays: what the people in the room see."""
