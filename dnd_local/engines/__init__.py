"""Adapters to the heavy libraries, one library a file, loaded by name."""
