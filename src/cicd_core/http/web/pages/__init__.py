"""The pages, one module each: a view reads services and returns what its template shows."""
