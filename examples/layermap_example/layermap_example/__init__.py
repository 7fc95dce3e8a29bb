"""A dataset, a network and a metric for layermap, as a package of their own."""
