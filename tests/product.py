"""The product as its users meet it, as the soak meets it too."""

from entrypoints.soak.follower import Follower
from entrypoints.soak.product import Api, Product, create_users
from entrypoints.soak.stores import Stores
from entrypoints.soak.waiting import eventually

__all__ = ["Api", "Follower", "Product", "Stores", "create_users", "eventually"]
