"""The configuration: `schema` and `models` hold every key with its default, `load` reads YAML and overrides."""
