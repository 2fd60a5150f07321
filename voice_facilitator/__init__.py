"""Voice facilitator: keeps the frame of a Balint group, hands-free and offline."""

__version__ = "0.1.0"
