"""From text to interests."""
