"""A user's folder with pictures, cells and a network of their own, as the tests of extraction have it."""

from tests.activations.conftest import lab

__all__ = ["lab"]
