"""Measured claims of speed, one file each, with the peer in the same run."""
