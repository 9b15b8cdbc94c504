"""Parts that containers share, one for each technology."""
