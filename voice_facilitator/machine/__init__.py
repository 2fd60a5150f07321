"""What the program needs of the computer: child processes, and the messages that pass between them."""
