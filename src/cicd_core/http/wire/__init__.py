"""The wire formats: requests, values as JSON, and errors as problem documents."""
