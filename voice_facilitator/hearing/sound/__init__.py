"""Where the sound comes from, and whether anybody speaks in it."""
