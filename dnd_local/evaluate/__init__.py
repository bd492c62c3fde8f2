"""Does a description predict its neuron, and how do describers compare?"""
