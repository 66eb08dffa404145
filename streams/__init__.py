"""Kafka in, profiles out: the worker, its web page and the command line."""
