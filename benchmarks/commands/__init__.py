"""How well spoken commands are heard."""
