"""The demo: the production worker on an embedded broker and Valkey, with a story to watch or a file to feed."""
