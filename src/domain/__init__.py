"""The core: what a notification, a user and a feed are. Standard library only."""
