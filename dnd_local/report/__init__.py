"""A static site that shows why a neuron got its words."""
