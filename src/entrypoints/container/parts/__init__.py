"""What the containers of several processes have in common: a part for each technology."""
