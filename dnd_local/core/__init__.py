"""The pure heart: records, settings, keys and the maths of the method (numpy and OpenCV only)."""
