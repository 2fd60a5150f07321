"""How well the presenter is told from the others, on sessions with known truth."""
