"""What is asked for: commands spoken to the program."""
