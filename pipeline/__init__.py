"""layermap: which layer of which network predicts which part of the brain, and how sure can we be?"""

__version__ = "0.1.0"
