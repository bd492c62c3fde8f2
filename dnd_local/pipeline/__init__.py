"""All stages on one screen, and what runs them."""
