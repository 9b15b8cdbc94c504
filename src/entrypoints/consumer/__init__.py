"""The consumer process: the loop that stores what the queue holds, and its watchdog."""
