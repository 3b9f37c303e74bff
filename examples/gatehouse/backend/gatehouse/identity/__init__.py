"""Users, the first of them, and the notices they get."""
