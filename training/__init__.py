"""How the shipped models are made; README.md says in which order."""
