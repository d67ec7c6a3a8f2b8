"""Tests of the network above a model's band."""
