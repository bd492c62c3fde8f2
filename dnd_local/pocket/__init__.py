"""A miniature world with known truth, its probe set and its trained models."""
