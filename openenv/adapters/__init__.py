"""One file for each foreign API: what it has becomes an Environment, or the other way round."""
