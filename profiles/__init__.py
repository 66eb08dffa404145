"""Who likes what: signals summed with exponential decay, one profile a user, kept in Redis."""
