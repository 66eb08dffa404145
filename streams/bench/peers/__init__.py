"""The contestants: the same job on other frameworks, each a program of its own."""
