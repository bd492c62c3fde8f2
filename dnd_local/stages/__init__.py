"""The method, one pure batch function a file; read them in the order of the paper."""
