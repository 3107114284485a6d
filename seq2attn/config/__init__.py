"""The configuration: `schema` holds every key with its default, `load` reads YAML and overrides."""
