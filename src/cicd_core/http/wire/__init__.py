"""What travels: requests, values as JSON, and errors as problem documents."""
