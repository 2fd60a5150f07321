"""What the running program costs, survives and leaves behind."""
