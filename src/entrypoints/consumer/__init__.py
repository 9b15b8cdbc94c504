"""The consumer process: the loop that reads the queue and stores, and what watches over it."""
