"""Plain-word descriptions of the neurons of a vision network, made entirely on your own machine."""

__version__ = "0.1.0"
