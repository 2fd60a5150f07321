"""What the program needs of the computer: sound card, child processes, signals, clocks, folders."""
