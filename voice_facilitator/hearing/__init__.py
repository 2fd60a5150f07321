"""Hearing: audio lives and dies here. What leaves is a small typed event."""
